// One of several who talk in a room, with Node's ws: talk.js PORT NAME TALKERS LINES
// Comes in, waits until all are there, says its lines, and prints all that was said as JSON.
"use strict";
const WebSocket = require("ws");
const [port, name, talkers, count] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
const here = new Set();
const said = [];

function hear(line) {
  const [word, ...fields] = line.split(" ");
  if (word === "ERR") throw new Error(line);
  if (word === "MEMBERS" || word === "JOINED") {
    const was = here.size;
    fields.slice(1).forEach((each) => here.add(each));
    if (was < talkers && here.size === talkers) {
      for (let nth = 0; nth < count; nth++) socket.send(`SAY den ${name} says ${nth}: grüße, <b>&amp;`);
    }
  }
  if (word === "SAID") {
    said.push([Number(fields[1]), fields[2], fields.slice(3).join(" ")]);
    if (said.length === talkers * count) {
      console.log(JSON.stringify(said));
      socket.close(1000);
    }
  }
}

socket.on("open", () => [`NICK ${name}`, "JOIN den 0", "WHO den"].forEach((line) => socket.send(line)));
socket.on("message", (data) => data.toString().split("\n").filter(Boolean).forEach(hear));
socket.on("close", (code) => {
  if (code !== 1000) throw new Error(`closed with ${code}`);
});
