// A page with a style, a script and a fetch, as a browser loads it: page.js PORT
"use strict";
const assert = require("assert");
const { run } = require("../chromium.js");
const port = Number(process.argv[2]);

async function test(browser) {
  const page = await browser.newPage();
  const failed = [];
  page.on("requestfailed", (request) => failed.push(request.url()));
  const response = await page.goto(`http://127.0.0.1:${port}/static/page.html`);
  assert.strictEqual(response.status(), 200);
  assert.match(response.headers()["content-type"], /^text\/html/);
  await page.locator("#echo", { hasText: "grüße, 100000 bytes" }).waitFor();
  assert.strictEqual(await page.locator("#echo").evaluate((each) => getComputedStyle(each).color), "rgb(1, 2, 3)");
  // The second time it has what did not change.
  const statuses = [];
  page.on("response", (each) => statuses.push(each.status()));
  await page.reload();
  await page.locator("#echo", { hasText: "grüße" }).waitFor();
  assert.ok(statuses.every((status) => status === 200 || status === 304), String(statuses));
  assert.deepStrictEqual(failed, []);
}

run(test);
