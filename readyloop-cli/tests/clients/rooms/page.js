// Two people on real pages in Chromium: page.js WEB_PORT LINE_PORT
// They talk; one loses its connection and comes back with the lines that it missed, none doubled.
// Screenshots go into the folder READYLOOP_SCREENSHOTS, if it is set.
"use strict";
const assert = require("assert");
const net = require("net");
const { run } = require("../chromium.js");
const [webPort, linePort] = process.argv.slice(2).map(Number);
const SHOTS = process.env.READYLOOP_SCREENSHOTS;

/** A way to the server that can be cut, and mended. */
async function relay() {
  const open = new Set();
  let isCut = false;
  const server = net.createServer((near) => {
    if (isCut) return near.destroy();
    const far = net.connect(webPort, "127.0.0.1");
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => { open.delete(one); other.destroy(); });
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    cut() { isCut = true; open.forEach((socket) => socket.destroy()); },
    mend() { isCut = false; },
    close() { this.cut(); server.close(); },
  };
}

/** Somebody who talks over TCP. */
async function caller(name) {
  const socket = net.connect(linePort, "127.0.0.1");
  let text = "";
  const waits = [];
  socket.on("data", (data) => { text += data; waits.splice(0).forEach((go) => go()); });
  const heard = async (words) => { while (!text.includes(words)) await new Promise((go) => waits.push(go)); };
  socket.write(`NICK ${name}\nJOIN lobby\n`);
  await heard("OK JOIN lobby");
  return { say: (line) => socket.write(`${line}\n`), heard, end: () => socket.destroy() };
}

const shot = async (page, name) => SHOTS && page.screenshot({ path: `${SHOTS}/${name}.png` });

async function person(browser, port, name, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error));
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && page.faults.push(message.text()));
  page.on("dialog", (dialog) => page.faults.push("a dialog was opened"));
  await page.goto(`http://127.0.0.1:${port}/`);
  await shot(page, `enter-${name}`);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Enter" }).click();
  return page;
}

async function join(page, room) {
  await page.getByLabel("Room to join").fill(room);
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await page.getByRole("heading", { name: room, exact: true }).waitFor();
}

async function say(page, text) {
  await page.getByLabel("What to say").fill(text);
  await page.keyboard.press("Enter");
}

const seen = (page, text) => page.locator("#lines li", { hasText: text }).first().waitFor();
const texts = (page) => page.locator("#lines li:not(.note) span").allTextContents();

async function test(browser) {
  const way = await relay();
  const ann = await person(browser, way.port, "Ann", { viewport: { width: 1100, height: 700 }, colorScheme: "light" });
  await shot(ann, "desktop-empty");
  await join(ann, "lobby");
  const bob = await person(browser, webPort, "Bob", { viewport: { width: 390, height: 780 }, colorScheme: "dark" });
  await join(bob, "lobby");
  await ann.locator("#people").getByText("Bob").waitFor();

  // A name that somebody has.
  const other = await person(browser, webPort, "ann");
  await other.getByText("somebody has this name").waitFor();
  await other.context().close();

  await say(ann, "hello, Bob");
  await seen(bob, "hello, Bob");
  const hostile = `<img src=x onerror="alert(1)"><b>not bold</b> &amp; "quoted"`;
  await say(bob, hostile);
  await seen(ann, hostile);
  assert.strictEqual(await ann.locator("#lines img").count(), 0);

  // Messages between two, and an unread mark.
  await bob.locator("#people").getByText("Ann").click();
  await say(bob, "only for you");
  await ann.locator("#mine button", { hasText: "@Bob" }).locator(".unread").waitFor();
  await shot(ann, "desktop-light");
  await bob.locator("#mine button", { hasText: "lobby" }).click();

  // Ann's connection is lost; the others go on; Ann says something meanwhile.
  const cecil = await caller("Cecil");
  way.cut();
  await ann.getByText(/connection lost/).waitFor();
  for (let nth = 0; nth < 30; nth++) cecil.say(`SAY lobby missed ${nth}`);
  await cecil.heard("missed 29");
  await say(ann, "said while away");
  await ann.locator("#lines li.pending", { hasText: "said while away" }).waitFor();
  await shot(ann, "desktop-lost");
  way.mend();
  await ann.getByRole("button", { name: "Try now" }).click();
  await seen(bob, "said while away");
  await seen(ann, "missed 29");
  await ann.locator("#lines li.pending").waitFor({ state: "detached" });
  const wanted = ["hello, Bob", hostile, ...Array.from({ length: 30 }, (_, nth) => `missed ${nth}`), "said while away"];
  assert.deepStrictEqual(await texts(ann), wanted);
  assert.deepStrictEqual(await texts(bob), wanted);

  // A page that is loaded again is who it was, where it was, and knows what was said.
  await bob.reload();
  await seen(bob, "missed 29");
  assert.deepStrictEqual(await texts(bob), wanted);
  assert.strictEqual(await bob.locator("#me").textContent(), "Bob");

  await say(bob, "x".repeat(200) + " grüße 日本 🙂");
  await seen(ann, "grüße 日本 🙂");
  await shot(bob, "phone-dark");
  await ann.getByRole("button", { name: "Leave" }).click();
  await ann.locator("#mine button", { hasText: "lobby" }).waitFor({ state: "detached" });
  await bob.locator("#lines li.note", { hasText: "Ann went out" }).waitFor();
  await shot(ann, "desktop-left");
  for (const page of [ann, bob]) assert.deepStrictEqual(page.faults, []);
  cecil.end();
  way.close();
}

run(test);
