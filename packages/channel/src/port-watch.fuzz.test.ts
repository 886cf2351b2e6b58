import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GuestPortLine, maxGuestPorts } from '@sylph/model';
import fc from 'fast-check';
import { ControlAndDataChannels } from './factory.ts';
import { FakeGuest } from './testing/fake-guest.ts';

/** What a channel reads of a guest whose port watch says this and ends. */
async function read(text: string): Promise<GuestPortLine[] | string> {
  await using guest = await FakeGuest.start({
    stream: (stream) => {
      stream.respond({ ':status': 200 });
      stream.end(text);
    },
  });
  const signal = AbortSignal.timeout(10_000);
  await using channel = await new ControlAndDataChannels().connect(guest.sockets, { deadlineMs: 5000, signal });
  await channel.open({ deadlineMs: 5000 });
  const lines: GuestPortLine[] = [];
  try {
    for await (const line of channel.watchPorts({ signal })) lines.push(line);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'agent_failed');
    return (error as Error).message;
  }
  return lines;
}

const port = (number: number): object => ({ port: number, address: '127.0.0.1', pid: 1 });
const line = (value: object): string => `${JSON.stringify(value)}\n`;

test('a guest that tells of ports in any other way than agreed ends the watch', async () => {
  for (const text of [
    line({ opened: port(1) }),
    line({ ports: [port(0)] }),
    line({ ports: [{ ...port(1), address: 'localhost' }] }),
    line({ ports: [] }) + line({ ports: [] }),
    line({ ports: Array.from({ length: maxGuestPorts + 1 }, (_, index) => port(index + 1)) }),
    line({ ports: Array.from({ length: maxGuestPorts }, (_, index) => port(index + 1)) }) +
      line({ opened: port(60_000) }),
    'x\n',
    '',
  ])
    assert.equal(typeof (await read(text)), 'string', text.slice(0, 80));
});

test('whatever a guest says, reading it ends', async () => {
  const said = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom(line({ ports: [] }), line({ opened: port(1) }), line({ closed: port(1) })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 8 }), async (parts) => void (await read(parts.join('')))),
    { numRuns: 40 },
  );
});
