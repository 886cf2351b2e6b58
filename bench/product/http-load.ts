// Sends one small GET after another over each of some connections, and prints what it saw as JSON.
// Usage: node http-load.ts PORT HOST PATH CONNECTIONS MILLISECONDS
import net from 'node:net';

/** What a run of the program prints. */
export interface LoadResult {
  /** Answers a second. */
  rate: number;
  /** From a request to the end of its answer, ms. */
  latenciesMs: number[];
}

/** Most samples of latency that are printed. */
const maxSamples = 2_000;
const headEnd = '\r\n\r\n';

/** One connection, until the time is over. */
function drive(port: number, request: string, endsAt: number, done: (latencyMs: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    let text = '';
    let began = 0;
    const send = (): void => {
      began = performance.now();
      socket.write(request);
    };
    socket.once('connect', send);
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const head = text.indexOf(headEnd);
      if (head < 0) return;
      const [, length = ''] = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head)) ?? [];
      if (length === '' || !text.startsWith('HTTP/1.1 200')) {
        socket.destroy(new Error(`an answer that is not expected: ${text.slice(0, 300)}`));
        return;
      }
      if (text.length < head + headEnd.length + Number(length)) return;
      text = '';
      done(performance.now() - began);
      if (performance.now() < endsAt) send();
      else socket.end();
    });
  });
}

const [port, host, path, connections, forMs] = process.argv.slice(2);
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n`;
const latencies: number[] = [];
const began = performance.now();
await Promise.all(
  Array.from({ length: Number(connections) }, () =>
    drive(Number(port), request, began + Number(forMs), (latencyMs) => latencies.push(latencyMs)),
  ),
);
const tookS = (performance.now() - began) / 1000;
const step = Math.max(1, Math.floor(latencies.length / maxSamples));
const result: LoadResult = {
  rate: latencies.length / tookS,
  latenciesMs: latencies.filter((_, index) => index % step === 0),
};
console.log(JSON.stringify(result));
