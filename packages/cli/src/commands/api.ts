import { command } from '../command.ts';
import { usageError } from '../failure.ts';
import { writeTo } from '../output/output.ts';
import { apiRequest, readBody } from '../raw-request.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

export const api = command({
  name: 'api',
  summary: "send a request to the server's API with your token",
  description:
    'A PATH that begins with / is one of the server; another is one below /v1/sprites/NAME/ of the sprite. The method is GET, or POST with --data. The answer goes to stdout as it comes; a status of 400 or more makes the exit code 1.',
  examples: [
    'sylph api /v1/sprites?prefix=web',
    'sylph api -s web checkpoints',
    `sylph api PUT /v1/sprites/web --data '{"labels":["prod"]}'`,
    'sylph api -s web PUT "fs/write?path=/tmp/a" --data - < a',
  ],
  arguments: [
    { name: '<method-or-path>', description: `${methods.join(', ')}, or the path` },
    { name: '[path]', description: 'the path, behind a method' },
  ],
  common: ['org', 'sprite'],
  options: {
    data: {
      kind: 'text',
      short: 'd',
      placeholder: 'TEXT',
      description: 'body of the request; "-" takes it from stdin',
    },
    header: { kind: 'list', short: 'H', placeholder: 'NAME: VALUE', description: 'header of the request; repeatable' },
    include: { kind: 'flag', short: 'i', description: 'print the status and the headers of the answer first' },
  },
  async run(context, [first = '', second], { data, header, include }) {
    const method = second === undefined ? (data === undefined ? 'GET' : 'POST') : first.toUpperCase();
    if (!methods.includes(method)) throw usageError(`${first} is not a method`, `known: ${methods.join(', ')}`);
    if (data !== undefined && (method === 'GET' || method === 'HEAD'))
      throw usageError(`${method} has no body`, 'leave --data out');
    const path = second ?? first;
    const { url, token } = await context.server();
    const below = path.startsWith('/') ? '' : `/v1/sprites/${encodeURIComponent(await context.sprite())}/`;
    const body = data === '-' ? (process.stdin as AsyncIterable<Uint8Array>) : data;
    try {
      const answer = await context.out.waiting(`waiting for ${url}`, () =>
        apiRequest({ baseUrl: url, token, method, path: below + path, headers: headersOf(header), body }),
      );
      const { status, statusText, headers } = answer;
      const code = status < 400 ? 0 : 1;
      if (context.out.json) {
        const told = { status, headers: Object.fromEntries(headers), ...(await readBody(answer)) };
        await context.out.result(told, () => '');
        return code;
      }
      if (include) {
        const lines = [...headers].map(([name, value]) => `${name}: ${value}\n`);
        await writeTo(process.stdout, `HTTP ${status} ${statusText}\n${lines.join('')}\n`);
      }
      await passOn(answer);
      if (code !== 0) context.out.note(`sylph: the server answered ${status} ${statusText}`.trimEnd());
      return code;
    } finally {
      if (data === '-') process.stdin.destroy();
    }
  },
});

function headersOf(given: readonly string[]): [string, string][] {
  return given.map((text) => {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):\s*([\t\x20-\x7e]*)$/.exec(text) ?? [];
    if (name === undefined || value === undefined) throw usageError(`--header ${text}: not of the form NAME: VALUE`);
    return [name, value];
  });
}

/** As fast as it is taken. On a terminal the next prompt begins a line. */
async function passOn({ body }: Response): Promise<void> {
  let last: number | undefined;
  for await (const bytes of body ?? []) {
    await writeTo(process.stdout, bytes);
    last = bytes.at(-1) ?? last;
  }
  if (process.stdout.isTTY && last !== undefined && last !== 0x0a) await writeTo(process.stdout, '\n');
}
