import assert from 'node:assert/strict';
import { test } from 'node:test';
import { service, serviceEvent, type ServiceEvent } from '@sylph/model';
import fc from 'fast-check';
import { failingWith, hostileAnswer, HostileGuest, mostly, nonsense } from './testing/hostile-guest.ts';

const signal = new AbortController().signal;
const codes = ['agent_failed', 'service_not_found', 'service_conflict', 'invalid_request'] as const;

const events = fc
  .record(
    {
      type: mostly(fc.constantFrom('started', 'stdout', 'exit', 'error', 'stopped', 'dropped', 'complete')),
      timestamp: mostly(fc.nat()),
      data: mostly(fc.string()),
      exit_code: mostly(fc.integer({ min: -2, max: 300 })),
      count: mostly(fc.integer()),
      log_files: mostly(fc.record({ combined: fc.string(), stdout: fc.string(), stderr: fc.string() })),
    },
    { requiredKeys: ['type', 'timestamp'] },
  )
  .map((value) => Buffer.from(`${JSON.stringify(value)}\n`));

const one = fc.record(
  {
    name: mostly(fc.stringMatching(/^[a-z]{1,9}$/)),
    cmd: mostly(fc.string()),
    args: mostly(fc.array(fc.string(), { maxLength: 3 })),
    env: mostly(fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 })),
    dir: mostly(fc.string()),
    needs: mostly(fc.array(fc.string(), { maxLength: 3 })),
    http_port: mostly(fc.option(fc.integer({ min: 0, max: 70_000 }))),
    state: mostly(
      fc.record({
        name: fc.string(),
        status: fc.constantFrom('running', 'stopped', 'asleep'),
        restart_count: fc.integer(),
        started_at: fc.string(),
      }),
    ),
  },
  { requiredKeys: ['name', 'cmd', 'state'] },
);
const refusals = fc.record({ error: mostly(fc.string()), code: mostly(fc.constantFrom('ESRCH', 'EINVAL', 'EBUSY')) });
const whole = fc
  .oneof(one, fc.array(one, { maxLength: 3 }), refusals)
  .map((value) => Buffer.from(JSON.stringify(value)));

test('whatever a guest says of its services fits, or is a failure of its agent', async () => {
  await using guest = await HostileGuest.start();
  const definition = { cmd: 'x', args: [], env: {}, dir: '', needs: [], http_port: null };
  const base = { env: {}, dir: '/', user: 'sprite' };
  const { services } = guest.channel;
  const read = async (stream: Promise<AsyncIterable<ServiceEvent>>): Promise<void> => {
    for await (const event of await stream) assert.ok(serviceEvent.safeParse(event).success);
  };
  const calls: (() => Promise<void>)[] = [
    async () => (await services.list({ signal })).forEach((each) => assert.ok(service.safeParse(each).success)),
    async () => assert.ok(service.safeParse(await services.get('web', { signal })).success),
    () => read(services.put('web', { ...definition, base }, { windowMs: 0, signal })),
    () => read(services.start('web', { windowMs: 0, signal })),
    () => read(services.stop('web', { timeoutMs: 0, signal })),
    () => read(services.logs('web', { lines: 1, followMs: 0, signal })),
    () => services.signal('web', 'HUP', { signal }),
    () => services.delete('web', { signal }),
  ];
  await fc.assert(
    fc.asyncProperty(
      hostileAnswer(fc.oneof(events, whole, nonsense)),
      fc.nat(calls.length - 1),
      async (said, which) => {
        guest.said = said;
        await failingWith(codes, async () => calls[which]?.());
      },
    ),
    { numRuns: 500 },
  );
});
