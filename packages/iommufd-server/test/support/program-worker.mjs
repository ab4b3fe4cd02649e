// A program and its shim in a thread of their own, so that a server in the test's thread may block on its answers.
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

/** Memory: { start, length, prot, dev, ino, offset } with bytes; descriptors: number to the 40 bytes of FILEINFO. */
const state = { memory: [], files: new Map(), silent: false, refuseFds: 0, nextFd: 10, pid: workerData.pid, gone: [] };
const connections = new Map();

function open(id, hello) {
  const socket = connect(workerData.path);
  const connection = { id, socket, bytes: Buffer.alloc(0), asks: [] };
  connections.set(id, connection);
  if (hello) socket.write(hello);
  socket.on('data', (chunk) => {
    connection.bytes = Buffer.concat([connection.bytes, chunk]);
    while (take(connection));
  });
  socket.on('error', () => {});
  socket.on('close', () => parentPort.postMessage({ id, event: 'closed' }));
}

function take(connection) {
  const { bytes, id } = connection;
  if (bytes.length < 8 || bytes.length < 8 + bytes.readUInt32LE(0)) return false;
  const type = bytes.readUInt32LE(4);
  const body = bytes.subarray(8, 8 + bytes.readUInt32LE(0));
  connection.bytes = bytes.subarray(8 + body.length);
  if (type === 0x8f) parentPort.postMessage({ id, event: 'ready' });
  else if (type === 0x80) {
    const ret = Number(body.readBigInt64LE(0));
    parentPort.postMessage({ id, event: 'return', ret, err: body.readUInt32LE(8), asks: connection.asks });
    connection.asks = [];
  } else answer(connection, type, body);
  return true;
}

function answer(connection, type, body) {
  const names = { 129: 'PEEK', 130: 'POKE', 131: 'NEWFD', 132: 'PAGES', 133: 'FILEINFO' };
  connection.asks.push(names[type] ?? `0x${type.toString(16)}`);
  if (state.silent) return;
  const {
    err = 0,
    val = 0,
    data = Buffer.alloc(0),
  } = { 129: peek, 130: poke, 131: newFd, 132: pages, 133: info }[type](body);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(8 + data.length, 0);
  head.writeUInt32LE(0x40, 4);
  head.writeUInt32LE(err, 8);
  head.writeUInt32LE(val, 12);
  connection.socket.write(Buffer.concat([head, data]));
}

const isGone = (pid) => state.gone.includes(pid);
const regionAt = (address) =>
  state.memory.find(({ start, bytes }) => address >= start && address < start + BigInt(bytes.length));

function peek(body) {
  const [pid, count, address] = [body.readUInt32LE(0), body.readUInt32LE(4), body.readBigUInt64LE(8)];
  if (isGone(pid)) return { err: 3 };
  const region = regionAt(address);
  if (!region || !(region.prot & 1)) return { err: 14 };
  const at = Number(address - region.start);
  const data = region.bytes.subarray(at, at + count);
  return { err: data.length < count ? 14 : 0, val: data.length, data };
}

function poke(body) {
  const [pid, count, address] = [body.readUInt32LE(0), body.readUInt32LE(4), body.readBigUInt64LE(8)];
  if (isGone(pid)) return { err: 3 };
  const region = regionAt(address);
  if (!region || !(region.prot & 2)) return { err: 14 };
  const at = Number(address - region.start);
  const fits = Math.min(count, region.bytes.length - at);
  region.bytes.set(body.subarray(16, 16 + fits), at);
  return { err: fits < count ? 14 : 0, val: fits };
}

function newFd(body) {
  if (state.refuseFds) return { err: state.refuseFds };
  const fd = state.nextFd++;
  open(`fd${fd}`, request(1, 0x1_4446_4f49n, body.readBigUInt64LE(8), 0n, 0n));
  return { val: fd };
}

function pages(body) {
  const [pid, address, length] = [body.readUInt32LE(0), body.readBigUInt64LE(8), body.readBigUInt64LE(16)];
  if (isGone(pid)) return { err: 3 };
  const out = [];
  let next = address;
  while (next < address + length) {
    const region = regionAt(next);
    if (!region) break;
    const end = region.start + BigInt(region.bytes.length);
    const stop = end < address + length ? end : address + length;
    const extent = Buffer.alloc(48);
    const offset = region.offset + (next - region.start);
    for (const [i, value] of [next, stop - next, region.dev, region.ino, offset].entries())
      extent.writeBigUInt64LE(value, i * 8);
    extent.writeUInt32LE(region.prot, 40);
    out.push(extent);
    next = stop;
  }
  return { err: next < address + length ? 14 : 0, val: out.length, data: Buffer.concat(out) };
}

function info(body) {
  const data = state.files.get(body.readUInt32LE(0));
  return data ? { data: Buffer.from(data) } : { err: 9 };
}

function request(type, ...args) {
  const bytes = Buffer.alloc(48);
  for (const [i, value] of [40, type, state.pid, state.pid].entries()) bytes.writeUInt32LE(value, i * 4);
  for (const [i, value] of args.entries()) bytes.writeBigUInt64LE(value, 16 + i * 8);
  return bytes;
}

/** Says all there is to say and nothing more; what the server asks goes unheard. */
function say(id, bytes) {
  const socket = connect(workerData.path, () => socket.end(bytes));
  socket.on('error', () => {});
  socket.on('close', () => parentPort.postMessage({ id, event: 'closed' }));
  socket.resume();
}

parentPort.on('message', ({ open: id, send, bytes, set, end, only }) => {
  if (only !== undefined) say(only, bytes);
  if (id !== undefined) open(id);
  if (send !== undefined) connections.get(send).socket.write(bytes);
  if (end !== undefined) connections.get(end).socket.destroy();
  if (set) Object.assign(state, set);
});
