import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { enterOwnNetwork } from '@sylph/testkit';
import type { NamespaceNetwork } from './network.ts';
import { networkOf, TestSprite } from './testing/fixture.ts';
import { Guest, removeCable } from './testing/guest.ts';
import { hostState, Internet, internet, ports } from './testing/internet.ts';
import { ipBatch, nft, runTool } from './tools.ts';

enterOwnNetwork();

/** Slots as they come and go: sleeps, restarts, other daemons, and a host that is as it was afterwards. */
let world: Internet;
let guest: Guest;
let untouched: Record<string, string>;

before(async () => {
  world = await Internet.open();
  guest = await Guest.open('guest');
  // Things of others that look a little like ours.
  await ipBatch([
    'link add sylphs0 type bridge',
    'netns add sylph',
    'netns add sylph0-99',
    'link add sylph-0 type bridge',
  ]);
  await nft('table inet sylph { chain theirs { type filter hook forward priority 0; policy accept; }; }\n');
  untouched = await hostState();
});

after(async () => {
  await guest[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  await ipBatch(['link del sylphs0', 'link del sylph-0', 'netns del sylph', 'netns del sylph0-99']);
  await removeCable();
});

async function plug(network: NamespaceNetwork, sprite: TestSprite): Promise<string> {
  const attachment = await network.attach(sprite);
  assert.ok(attachment.kind === 'tap');
  await guest.plug(attachment.namespace);
  return attachment.namespace;
}

const settled = async (): Promise<void> => sleep(300);

test('nothing of it is left when a network is closed, and what is not its own was never touched', async () => {
  const network = networkOf({ slots: 3 });
  await network.open();
  const sprite = new TestSprite();
  await plug(network, sprite);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  assert.match((await network.describe()).note, /policies are enforced/);
  await guest.unplug();
  await network.detach(sprite.spriteId, { sleeps: true });
  await network.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), untouched);
});

test('settings that were on stay on, and what was forwarded still is', async () => {
  await runTool('sh', [
    '-c',
    'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  ]);
  const before = await hostState();
  const network = networkOf();
  await network.open();
  const chain = await runTool('nft', ['list', 'chain', 'inet', 'sylph0', 'forward']);
  assert.doesNotMatch(chain, /iifname != /, 'nothing of others is dropped');
  await network.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), before);
  await runTool('sh', [
    '-c',
    'echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding',
  ]);
});

test('where nothing was forwarded nothing is but for slots', async () => {
  await using neighbour = await neighbourNetwork();
  const network = networkOf();
  await network.open();
  assert.equal(await neighbour.tries(internet.web4), 'TIMEOUT');
  await network.close({ vmsRemain: false });
});

test('a sprite that sleeps a short while finds its connections, and its addresses', async () => {
  const network = networkOf({ slots: 1, lingerS: 30 });
  await network.open();
  const sprite = new TestSprite([{ domain: 'web.example', action: 'allow' }]);
  world.names.set('web.example', { addresses: [internet.web4], ttlS: 60 });
  const namespace = await plug(network, sprite);
  await guest.party.resolve('web.example');
  const { socket } = await guest.party.dial(internet.web4, ports.web);
  await guest.unplug();
  await network.detach(sprite.spriteId, { sleeps: true });
  // Another sprite comes meanwhile, and gets another slot.
  const other = new TestSprite();
  const attachment = await network.attach(other);
  assert.ok(attachment.kind === 'tap' && attachment.namespace !== namespace);
  await settled();
  assert.equal(await plug(network, sprite), namespace);
  assert.equal(await guest.party.say(socket, 'still there?'), 'still there?');
  // A policy that was changed while it slept is in force when it wakes.
  await guest.unplug();
  await network.detach(sprite.spriteId, { sleeps: true });
  sprite.rules = [{ domain: 'other.example', action: 'allow' }];
  await plug(network, sprite);
  await assert.rejects(guest.party.say(socket, 'and now?'), /ECONNRESET|EPIPE/);
  await guest.unplug();
  await network.detach(sprite.spriteId);
  await network.detach(other.spriteId);
  await network.close({ vmsRemain: false });
});

test('after a long sleep a sprite has a new slot, and its old connections are reset at once', async () => {
  const network = networkOf({ slots: 1, lingerS: 0 });
  await network.open();
  const sprite = new TestSprite();
  const first = await plug(network, sprite);
  const { socket } = await guest.party.dial(internet.web4, ports.web);
  await guest.unplug();
  await network.detach(sprite.spriteId, { sleeps: true });
  assert.notEqual(await plug(network, sprite), first);
  await assert.rejects(guest.party.say(socket, 'still there?'), /ECONNRESET|EPIPE/);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  await guest.unplug();
  await network.detach(sprite.spriteId);
  await network.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), untouched);
});

test('a used slot is given to nobody else, and goes when its time is over', async () => {
  const network = networkOf({ slots: 1, lingerS: 1 });
  await network.open();
  const sprite = new TestSprite();
  const attachment = await network.attach(sprite);
  assert.ok(attachment.kind === 'tap');
  await network.detach(sprite.spriteId, { sleeps: true });
  await sleep(2_000);
  assert.doesNotMatch(
    await runTool('ip', ['netns', 'list']),
    new RegExp(`${attachment.namespace.split('/').at(-1)}( |$)`, 'm'),
  );
  const again = await network.attach(new TestSprite());
  assert.ok(again.kind === 'tap' && again.namespace !== attachment.namespace);
  await network.close({ vmsRemain: false });
});

test('the next daemon takes over what runs as it is, and sweeps the rest', async () => {
  const first = networkOf({ slots: 2 });
  await first.open();
  world.names.set('web.example', { addresses: [internet.web4], ttlS: 60 });
  const sprite = new TestSprite([{ domain: 'web.example', action: 'allow', ports: [ports.web, ports.tls] }]);
  const namespace = (await plug(first, sprite)).split('/').at(-1);
  const gone = new TestSprite();
  await first.attach(gone);
  await guest.party.resolve('web.example');
  const { socket } = await guest.party.dial(internet.web4, ports.web);
  await first.close({ vmsRemain: true });

  const second = networkOf({ slots: 1 });
  await second.open();
  await second.adopt(sprite, guest.pid);
  assert.equal(await guest.party.say(socket, 'still there?'), 'still there?');
  assert.equal(await guest.party.tries(internet.web4, ports.tls), 'reached', 'an answer outlives the daemon');
  assert.equal(await guest.party.tries(internet.other4, ports.web), 'ECONNREFUSED');
  await assert.rejects(second.adopt(gone, 1), { code: 'host_unfit' });
  await second.sweep();
  const left = (await runTool('ip', ['netns', 'list'])).match(/^sylph0-\d+/gm) ?? [];
  assert.equal(left.length, 3, 'its slot, one in stock, and what only looks like one');
  assert.ok(namespace !== undefined && left.includes(namespace) && left.includes('sylph0-99'));
  // The name an address had from the first daemon is known to the second.
  sprite.rules = [{ domain: '*.example', action: 'allow', ports: [ports.web] }];
  await second.refresh(sprite.spriteId);
  assert.equal(await guest.party.say(socket, 'and now?'), 'and now?');
  assert.equal(await guest.party.tries(internet.web4, ports.tls), 'ECONNREFUSED');
  sprite.rules = [{ domain: 'other.example', action: 'allow' }];
  await second.refresh(sprite.spriteId);
  await assert.rejects(guest.party.say(socket, 'and now?'), /ECONNRESET|EPIPE/);
  await guest.unplug();
  await second.detach(sprite.spriteId);
  await second.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), untouched);
});

test('a running sprite is answered no question before its policy is in force again', async () => {
  const first = networkOf({ slots: 1 });
  await first.open();
  world.names.set('web.example', { addresses: [internet.web4], ttlS: 60 });
  const sprite = new TestSprite();
  await plug(first, sprite);
  await first.close({ vmsRemain: true });

  sprite.rules = [{ domain: 'other.example', action: 'allow' }];
  const second = networkOf({ slots: 1 });
  await second.open();
  // Whoever tells the policy is slow, each time, and the guest asks all the while.
  const { policy } = sprite;
  sprite.policy = async () => {
    await sleep(500);
    return policy();
  };
  let over = false;
  const adopted = second.adopt(sprite, guest.pid).finally(() => (over = true));
  const questions: Promise<unknown>[] = [];
  while (!over) {
    questions.push(assert.rejects(guest.party.resolve('web.example'), /ETIMEOUT|EREFUSED/));
    await sleep(50);
  }
  await adopted;
  await Promise.all(questions);
  await assert.rejects(guest.party.resolve('web.example'), /EREFUSED/);
  await guest.unplug();
  await second.detach(sprite.spriteId);
  await second.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), untouched);
});

test('what a network that was closed still had to remove is left to the next', async () => {
  const first = networkOf({ lingerS: 0.2 });
  await first.open();
  const stays = new TestSprite();
  await plug(first, stays);
  const [sleeps, ends] = [new TestSprite(), new TestSprite()];
  for (const sprite of [sleeps, ends]) await first.attach(sprite);
  await first.detach(sleeps.spriteId, { sleeps: true });
  await first.detach(ends.spriteId);
  await first.close({ vmsRemain: true });
  await sleep(600);

  const second = networkOf();
  await second.open();
  await second.adopt(stays, guest.pid);
  await second.sweep();
  await guest.unplug();
  await second.detach(stays.spriteId);
  await second.close({ vmsRemain: false });
  assert.deepEqual(await hostState(), untouched);
});

test('an adopted sprite of a network that knows no policies goes on without one, and is refused with one', async () => {
  const network = networkOf();
  await network.open();
  const sprite = new TestSprite();
  await network.adopt(sprite, process.pid);
  await network.refresh(sprite.spriteId);
  sprite.rules = [{ domain: 'web.example', action: 'allow' }];
  await assert.rejects(network.refresh(sprite.spriteId), { code: 'policy_unenforceable' });
  await assert.rejects(network.adopt(sprite, process.pid), { code: 'host_unfit' });
  await network.close({ vmsRemain: false });
});

test('two daemons on one host have numbers of their own, and their sprites do not meet', async () => {
  const one = networkOf({ dataDir: '/one' });
  const two = networkOf({ dataDir: '/two' });
  await Promise.all([one.open(), two.open()]);
  const sprites = [new TestSprite(), new TestSprite()] as const;
  await plug(one, sprites[0]);
  await using other = await Guest.open('guest-2');
  const attachment = await two.attach(sprites[1]);
  assert.ok(attachment.kind === 'tap');
  await other.plug(attachment.namespace);
  await other.party.serve('0.0.0.0', 8080);
  for (const address of ['198.18.0.16', '198.18.32.16', '198.18.32.17', '198.18.32.1'])
    assert.equal(await guest.party.tries(address, 8080), 'ECONNREFUSED', address);
  assert.equal(await other.party.tries(internet.web4, ports.web), 'reached');
  await guest.unplug();
  await one.detach(sprites[0].spriteId);
  await one.close({ vmsRemain: false });
  assert.equal(await other.party.tries(internet.web4, ports.web), 'reached', 'the other goes on');
  await using neighbour = await neighbourNetwork();
  assert.equal(await neighbour.tries(internet.web4), 'TIMEOUT', 'and still holds back what was not forwarded');
  await other.unplug();
  await two.detach(sprites[1].spriteId);
  await two.close({ vmsRemain: false });
  await neighbour[Symbol.asyncDispose]();
  assert.deepEqual(await hostState(), untouched);
});

test('a host that learns its IPv6 from a router is left alone, and its sprites are told at once that there is none', async () => {
  await ipBatch(['route del default via 2a00:9:9::1', 'route add default via 2a00:9:9::1 proto ra']);
  const network = networkOf();
  await network.open();
  assert.match((await network.describe()).note, /no IPv6: this host learns its IPv6/);
  assert.equal(await runTool('cat', ['/proc/sys/net/ipv6/conf/all/forwarding']), '0\n');
  const sprite = new TestSprite();
  await plug(network, sprite);
  assert.match(await guest.party.tries(internet.web6, ports.web), /^E(NET|HOST)UNREACH$/);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  await guest.unplug();
  await network.detach(sprite.spriteId);
  await network.close({ vmsRemain: false });
  await ipBatch(['route del default via 2a00:9:9::1', 'route add default via 2a00:9:9::1']);
  assert.deepEqual(await hostState(), untouched);
});

test('a host without nft, or whose range is in use, is told', async () => {
  const path = process.env['PATH'];
  process.env['PATH'] = '/nowhere';
  await assert.rejects(networkOf().open(), { code: 'host_unfit', message: /not installed/ });
  process.env['PATH'] = path;
  await ipBatch(['route add 198.18.0.0/24 dev uplink']);
  await assert.rejects(networkOf().open(), { code: 'host_unfit', message: /198\.18\.0\.0\/24 on uplink/ });
  await ipBatch(['route del 198.18.0.0/24 dev uplink']);
  await nft('table ip theirs { chain FORWARD { type filter hook forward priority 0; policy drop; }; }\n');
  const network = networkOf();
  await network.open();
  assert.match((await network.describe()).note, /chain FORWARD of table ip theirs drops/);
  await network.close({ vmsRemain: false });
  await nft('delete table ip theirs\n');
  assert.deepEqual(await hostState(), untouched);
});

/** Another machine that has this host as its router, if that lets it. */
async function neighbourNetwork(): Promise<AsyncDisposable & { tries(address: string): Promise<string> }> {
  const { Party } = await import('./testing/party.ts');
  await ipBatch([
    'netns add neighbour',
    'link add lan type veth peer name eth0 netns neighbour',
    'link set lan up',
    'addr add 192.168.99.1/24 dev lan',
  ]);
  await ipBatch(
    ['link set eth0 up', 'addr add 192.168.99.2/24 dev eth0', 'route add default via 192.168.99.1'],
    'neighbour',
  );
  // Its packets would come back.
  await ipBatch(['route add 192.168.99.0/24 via 93.9.9.2'], 'internet');
  const party = new Party('neighbour');
  let open = true;
  return {
    tries: (address) => party.tries(address, ports.web),
    [Symbol.asyncDispose]: async () => {
      if (!open) return;
      open = false;
      await party[Symbol.asyncDispose]();
      await ipBatch(['route del 192.168.99.0/24'], 'internet');
      await ipBatch(['link del lan', 'netns del neighbour']);
    },
  };
}
