// Chromium from the system's packages, for playwright-core: no download, nothing but the pages asked for.
"use strict";
const { chromium } = require("playwright-core");

const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Runs a test in a browser of its own, and ends this process: with 1 if it failed. */
exports.run = async (test) => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGUMENTS });
  const failed = await test(browser).then(() => null, (error) => error);
  await browser.close();
  if (failed) console.error(failed);
  process.exit(failed ? 1 : 0);
};
