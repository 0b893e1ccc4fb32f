// A page with a style, a script and a fetch, as a browser loads it: page.js PORT
"use strict";
const assert = require("assert");
const { chromium } = require("playwright-core");

async function main(port) {
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });
  try {
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
  } finally {
    await browser.close();
  }
}

main(Number(process.argv[2])).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
