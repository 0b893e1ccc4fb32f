// The ordinary calls of the Node package `ioredis`: calls.js PORT
"use strict";
const assert = require("assert");
const Redis = require("ioredis");

async function main(port) {
  const client = new Redis(port);
  const listener = new Redis(port);
  await client.flushall();
  assert.strictEqual(await client.set("k", "v", "EX", 100), "OK");
  assert.strictEqual(await client.get("k"), "v");
  assert.strictEqual(await client.set("k", "w", "NX"), null);
  assert.deepStrictEqual(await client.mget("k", "none"), ["v", null]);
  assert.strictEqual(await client.incr("n"), 1);
  assert.deepStrictEqual((await client.keys("*")).sort(), ["k", "n"]);
  assert.match(await client.info(), /redis_version:7\.0\.0/);
  await assert.rejects(client.incr("k"), /value is not an integer/);
  await assert.rejects(client.call("NOSUCH", "a"), /unknown command 'NOSUCH'/);
  const blob = Buffer.from(Array.from({ length: 300000 }, (_, nth) => nth % 256));
  await client.set("blob", blob);
  assert.ok(blob.equals(await client.getBuffer("blob")));

  const pipeline = client.pipeline();
  for (let nth = 0; nth < 1000; nth++) pipeline.set(`p${nth}`, nth).get(`p${nth}`);
  const replies = await pipeline.exec();
  replies.forEach(([error, reply], nth) => {
    assert.ifError(error);
    if (nth % 2) assert.strictEqual(reply, String((nth - 1) / 2));
  });
  const done = await client.multi().set("t", 1).incr("t").exec();
  assert.deepStrictEqual(done, [[null, "OK"], [null, 2]]);

  let found = [];
  for await (const keys of client.scanStream({ match: "p*", count: 50 })) found = found.concat(keys);
  assert.strictEqual(new Set(found).size, 1000);

  assert.strictEqual(await listener.subscribe("news"), 1);
  assert.strictEqual(await listener.psubscribe("n*"), 2);
  const heard = new Promise((resolve) => {
    const all = [];
    const hear = (kind) => (...words) => all.push([kind, ...words]) === 2 && resolve(all);
    listener.on("message", hear("message"));
    listener.on("pmessage", hear("pmessage"));
  });
  assert.strictEqual(await client.publish("news", "text"), 2);
  assert.deepStrictEqual(await heard, [["message", "news", "text"], ["pmessage", "n*", "news", "text"]]);
  assert.strictEqual(await listener.unsubscribe("news"), 1);
  await Promise.all([client.quit(), listener.quit()]);
}

main(Number(process.argv[2])).catch((error) => {
  console.error(error);
  process.exit(1);
});
