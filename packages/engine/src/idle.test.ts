import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { idleDelayMs } from './idle.ts';
import { poolFull, Scenario } from './testing/scenario.ts';

/** Short enough for a test, long enough to be seen awake. */
const idleTimeoutS = 0.1;

/** Waits for a sprite to be asleep. */
async function fallsAsleep(on: Scenario, name = 'one'): Promise<void> {
  for (let look = 0; look < 500; look++) {
    if ((await on.get(name)).state === 'asleep') return;
    await sleep(10);
  }
  assert.fail(`${name} stays awake`);
}

async function running(options: { idle?: number } = {}): Promise<Scenario> {
  const on = await Scenario.open();
  await on.create('one', { idle_timeout_s: options.idle ?? idleTimeoutS });
  await on.start('one');
  return on;
}

describe('idle sprites', () => {
  it('fall asleep by themselves', async () => {
    const on = await running();
    await on.world.write('one', 'x');
    await fallsAsleep(on);
    assert.equal((await on.get('one')).row.lastState, 'memory');
    await on.end();
  });

  it('stay awake while a lease is held, then sleep', async () => {
    const on = await running();
    const lease = await on.use('one');
    await sleep(300);
    assert.equal((await on.get('one')).state, 'running');
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    await fallsAsleep(on);
    await on.end();
  });

  it('stay awake while a client is attached or something prints', async () => {
    const on = await running();
    const sessions = await on.sessions('one');
    sessions.attach(1);
    await sleep(300);
    assert.equal((await on.get('one')).state, 'running');
    sessions.attach(-1);
    for (let output = 0; output < 10; output++) {
      sessions.lastOutputAt = performance.now();
      await sleep(30);
    }
    assert.equal((await on.get('one')).state, 'running');
    await fallsAsleep(on);
    await on.end();
  });

  it('never sleep by themselves with a timeout of 0, nor at once with the longest', async () => {
    for (const idle of [0, 31_536_000]) {
      const on = await running({ idle });
      await sleep(200);
      assert.equal((await on.get('one')).state, 'running');
      await on.daemon.sprites.update(on.daemon.org, 'one', { idle_timeout_s: idleTimeoutS });
      await fallsAsleep(on);
      await on.end();
    }
  });

  it('try again when they could not be put to sleep', async () => {
    const on = await running();
    on.gate.fail('vm.capture', poolFull);
    await sleep(200);
    await fallsAsleep(on);
    assert.ok(on.daemon.errors.some(({ message }) => message === 'idle sprite could not be put to sleep'));
    await on.end();
  });

  it('do not sleep when a use came while they waited for their turn', async () => {
    const on = await running();
    on.gate.fail('vm.capture', async () => {
      await sleep(250);
      (await on.use('one'))[Symbol.dispose]();
    });
    await on.checkpoint('one');
    await sleep(20);
    assert.equal((await on.get('one')).state, 'running');
    await fallsAsleep(on);
    await on.end();
  });
});

describe('idleDelayMs', () => {
  it('is undefined exactly while something holds the sprite awake, and never too early', () => {
    const sprite = fc.record({
      idleTimeoutS: fc.nat(100),
      leases: fc.nat(2),
      clients: fc.nat(2),
      jobs: fc.nat(2),
      lastUseAt: fc.nat(100_000),
      lastOutputAt: fc.nat(100_000),
      tasksUntil: fc.nat(300_000),
    });
    fc.assert(
      fc.property(sprite, fc.nat(300_000), (held, now) => {
        const delay = idleDelayMs(held, now);
        const isHeld = held.idleTimeoutS === 0 || held.leases > 0 || held.clients > 0 || held.jobs > 0;
        assert.equal(delay === undefined, isHeld);
        if (delay === undefined) return;
        const quietAt = Math.max(held.lastUseAt, held.lastOutputAt) + held.idleTimeoutS * 1000;
        assert.equal(now + delay, Math.max(now, quietAt, held.tasksUntil));
      }),
    );
  });
});
