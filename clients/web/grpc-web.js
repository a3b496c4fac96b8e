// gRPC-Web without a build step: calls a method with bytes, gives the messages' bytes as they come.
// What the bytes mean is up to generated code; the few fields the page needs are read by hand below.

export class RpcError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export async function* call(method, message, { base = "", signal } = {}) {
  const body = new Uint8Array(5 + message.length);
  new DataView(body.buffer).setUint32(1, message.length);
  body.set(message, 5);
  const headers = { "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1" };
  const answer = await fetch(`${base}/${method}`, { method: "POST", headers, body, signal });
  if (!answer.ok) throw new RpcError(answer.status, `HTTP ${answer.status}`);
  let buffer = new Uint8Array(0);
  for (const reader = answer.body.getReader();;) {
    const { value, done } = await reader.read();
    if (done) throw new RpcError(14, "the connection broke before the end");
    const joined = new Uint8Array(buffer.length + value.length);
    joined.set(buffer);
    joined.set(value, buffer.length);
    buffer = joined;
    while (buffer.length >= 5) {
      const size = new DataView(buffer.buffer, buffer.byteOffset).getUint32(1);
      if (buffer.length < 5 + size) break;
      const flags = buffer[0], frame = buffer.slice(5, 5 + size);
      buffer = buffer.slice(5 + size);
      if (!(flags & 0x80)) { yield frame; continue; }
      const lines = new TextDecoder().decode(frame).trim().split("\r\n");
      const trailers = Object.fromEntries(lines.map(line => line.match(/^([^:]*): ?(.*)$/).slice(1)));
      if (trailers["grpc-status"] !== "0")
        throw new RpcError(Number(trailers["grpc-status"]), decodeURIComponent(trailers["grpc-message"] ?? ""));
      return;
    }
  }
}

// The wire format: a field is its number and type, then a varint, eight bytes, bytes with their length, or four bytes.
export function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0n, shift = 0n;
    for (;;) {
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
      shift += 7n;
    }
  };
  const take = size => bytes.subarray(at, at += size);
  while (at < bytes.length) {
    const tag = Number(varint());
    const read = [varint, () => take(8), () => take(Number(varint())), , , () => take(4)][tag & 7];
    yield [tag >> 3, read()];
  }
}

export function text(number, value) {
  const bytes = new TextEncoder().encode(value);
  return new Uint8Array([number << 3 | 2, bytes.length, ...bytes]);
}
