// Three requests of Kafka's protocol, to fill a cluster quickly: thousands of topics and groups in a second or two.
import { connect } from "node:net";

const int16 = (value) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const int64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
};
const string = (text) => Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)]);
const array = (items) => Buffer.concat([int32(items.length), ...items]);

/** A connection that asks one thing after the other; an answer is the bytes behind its header. */
export function openKafka(bootstrap) {
  const [host, port] = bootstrap.split(":");
  const socket = connect(Number(port), host);
  const waiting = [];
  let bytes = Buffer.alloc(0);
  let number = 0;
  socket.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE()) {
      const end = 4 + bytes.readInt32BE();
      waiting.shift().resolve(bytes.subarray(8, end));
      bytes = bytes.subarray(end);
    }
  });
  const fail = (error) => {
    for (const { reject } of waiting.splice(0))
      reject(error ?? new Error("the broker closed the connection"));
  };
  socket.on("error", fail);
  socket.on("close", () => fail());
  const send = (api, version, ...body) => {
    number += 1;
    const request = Buffer.concat([int16(api), int16(version), int32(number), string("load"), ...body]);
    socket.write(Buffer.concat([int32(request.length), request]));
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  };
  return {
    /** CreateTopics, version 2. */
    createTopics: async (names, partitions) => {
      const topic = (name) =>
        Buffer.concat([string(name), int32(partitions), int16(1), array([]), array([])]);
      const answer = await send(19, 2, array(names.map(topic)), int32(60_000), Buffer.from([0]));
      for (let at = 8, left = answer.readInt32BE(4); left > 0; left--) {
        const name = answer.toString("utf8", at + 2, at + 2 + answer.readInt16BE(at));
        at += 2 + answer.readInt16BE(at);
        const code = answer.readInt16BE(at);
        if (code !== 0) throw new Error(`${name} was not created: error ${code}`);
        at += 2;
        const length = answer.readInt16BE(at);
        at += 2 + Math.max(length, 0);
      }
    },
    /** FindCoordinator, version 0: the topic for groups is made by it. */
    findCoordinator: async (group) => (await send(10, 0, string(group))).readInt16BE(0),
    /** OffsetCommit, version 2, by no member: makes a group without members. */
    commit: async (group, topic, offset) => {
      const partition = Buffer.concat([int32(0), int64(offset), string("")]);
      const topics = array([Buffer.concat([string(topic), array([partition])])]);
      const answer = await send(8, 2, string(group), int32(-1), string(""), int64(-1), topics);
      return answer.readInt16BE(answer.length - 2);
    },
    close: () => socket.destroy(),
  };
}
