import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkDenial, NetworkPolicy } from '@sylph/model';
import { rejects, Scenario } from './testing/scenario.ts';

const strict: NetworkPolicy = { rules: [{ domain: 'example.com', action: 'allow' }] };
const other: NetworkPolicy = { rules: [{ domain: 'example.org', action: 'allow' }] };
const none: NetworkPolicy = { rules: [] };
const denial = (target: string): NetworkDenial => ({
  kind: 'name',
  target,
  port: null,
  protocol: null,
  name: null,
  reason: 'policy',
  count: 1,
  first_at: '2026-01-31T12:20:24.123Z',
  last_at: '2026-01-31T12:20:24.123Z',
});

/** What holds for an awake sprite, at its network and in its file. */
async function held(on: Scenario, name: string): Promise<{ enforced: NetworkPolicy | undefined; file: unknown }> {
  const { id } = await on.world.row(name);
  const file = (await on.world.machine(name)).files.get('/.sprite/policy/network.json');
  return {
    enforced: on.daemon.network.policies.get(id),
    file: file && { ...file, text: JSON.parse(file.text) as unknown },
  };
}

const written = (policy: NetworkPolicy) => ({ text: policy, mode: '0444', user: 'root' });

describe('network policies', () => {
  it('hold from the start, and from the moment they are set', async () => {
    const on = await Scenario.running('a');
    const { policies } = on.daemon.sprites;
    const { org } = on.daemon;
    assert.deepEqual((await held(on, 'one')).enforced, none);
    await policies.setNetwork(org, 'one', strict);
    assert.deepEqual(await held(on, 'one'), { enforced: strict, file: written(strict) });
    assert.deepEqual(await policies.network(org, 'one'), { policy: strict, from: 'sprite' });
    await on.suspend('one');
    await policies.setNetwork(org, 'one', other);
    await on.start('one');
    assert.deepEqual((await held(on, 'one')).enforced, other);
    await policies.setNetwork(org, 'one', null);
    assert.deepEqual(await held(on, 'one'), { enforced: none, file: written(none) });
    await rejects(policies.setNetwork(org, 'two', strict), 'sprite_not_found');
    await rejects(policies.network(org, 'two'), 'sprite_not_found');
    await rejects(policies.denials(org, 'two', 1), 'sprite_not_found');
    await on.end();
  });

  it("of an organization hold for its sprites without one of their own, and for nobody else's", async () => {
    const on = await Scenario.running('a');
    const { sprites, network, org } = on.daemon;
    const foreign = await on.world.repository.ensureOrg('other');
    for (const name of ['two', 'three']) await on.create(name);
    await on.start('two');
    await sprites.create(foreign, { name: 'one' });
    await sprites.start(foreign, 'one');
    await sprites.policies.setNetwork(org, 'two', other);
    network.refreshed.length = 0;
    await sprites.policies.setOrgNetwork(org, strict);
    assert.deepEqual(network.refreshed, [(await on.world.row('one')).id], 'no other sprite is touched');
    assert.deepEqual((await held(on, 'one')).enforced, strict);
    await sleep(20);
    assert.deepEqual((await held(on, 'one')).file, written(strict));
    assert.deepEqual((await held(on, 'two')).enforced, other);
    assert.deepEqual(await sprites.policies.network(org, 'three'), { policy: strict, from: 'organization' });
    assert.deepEqual(await sprites.policies.network(foreign, 'one'), { policy: none, from: 'none' });
    await on.start('three');
    assert.deepEqual((await held(on, 'three')).enforced, strict);
    await sprites.policies.setNetwork(org, 'one', none);
    assert.deepEqual((await held(on, 'one')).enforced, none, 'no rules are a policy too');
    await sprites.policies.setOrgNetwork(org, null);
    assert.deepEqual((await held(on, 'three')).enforced, none);
    assert.equal(await sprites.policies.orgNetwork(org), undefined);
    await sprites.delete(foreign, 'one');
    await on.end();
  });

  it('reach every sprite of an organization, though one cannot be changed', async () => {
    const on = await Scenario.running('a');
    const { sprites, network, org } = on.daemon;
    await on.create('two');
    await on.start('two');
    const { id } = await on.world.row('one');
    const refresh = network.refresh.bind(network);
    network.refresh = (sprite) => (sprite === id ? Promise.reject(new Error('no room')) : refresh(sprite));
    await assert.rejects(sprites.policies.setOrgNetwork(org, strict), /no room/);
    assert.deepEqual((await held(on, 'two')).enforced, strict);
    await on.end();
  });

  it('are inherited by forks', async () => {
    const on = await Scenario.running('a');
    const { policies } = on.daemon.sprites;
    await policies.setNetwork(on.daemon.org, 'one', strict);
    await on.fork('one', 'two');
    await on.start('two');
    assert.deepEqual((await held(on, 'two')).enforced, strict);
    await policies.setNetwork(on.daemon.org, 'one', null);
    assert.deepEqual((await held(on, 'two')).enforced, strict);
    await on.end();
  });

  it('are refused where the host cannot enforce them, and change nothing', async () => {
    const on = await Scenario.running('a');
    const { policies } = on.daemon.sprites;
    const { org } = on.daemon;
    on.daemon.network.policyObstacle = 'its sprites use user-mode networking';
    await rejects(policies.setNetwork(org, 'one', strict), 'policy_unenforceable', /user-mode networking/);
    await rejects(policies.setOrgNetwork(org, strict), 'policy_unenforceable');
    assert.deepEqual(await policies.network(org, 'one'), { policy: none, from: 'none' });
    await policies.setNetwork(org, 'one', none);
    await policies.setOrgNetwork(org, none);
    await on.end();
  });

  it('are shown inside a while after a start, whatever stood there', async () => {
    const on = await Scenario.open();
    await on.create('one');
    await on.daemon.sprites.policies.setNetwork(on.daemon.org, 'one', strict);
    await on.start('one');
    assert.equal((await held(on, 'one')).file, undefined, 'the start does not wait for it');
    const { files } = await on.world.machine('one');
    files.set('/.sprite/policy/network.json', { text: JSON.stringify(other), mode: '0444', user: 'root' });
    await sleep(2_500);
    assert.deepEqual((await held(on, 'one')).file, written(strict));
    await on.end();
  });
});

describe('what was denied', () => {
  it('is told up to the moment, and kept when the sprite sleeps, is left and is gone', async () => {
    const on = await Scenario.running('a');
    const { sprites, network, org } = on.daemon;
    const { id } = await on.world.row('one');
    const targets = async () => (await sprites.policies.denials(org, 'one', 10)).map(({ target }) => target);
    network.denials.set(id, [denial('a')]);
    assert.deepEqual(await targets(), ['a']);
    assert.deepEqual(await targets(), ['a']);
    network.denials.set(id, [denial('b')]);
    await on.suspend('one');
    await on.consistent();
    assert.equal(network.denials.size, 0, 'it was taken as the sprite left the network');
    assert.deepEqual(await targets(), ['b', 'a']);
    await on.start('one');
    network.denials.set(id, [denial('c')]);
    await sprites.close('suspend');
    assert.deepEqual(
      (await on.world.repository.policies.denials(id, 10)).map(({ target }) => target),
      ['c', 'b', 'a'],
    );
    await on.reboot();
    await on.start('one');
    on.daemon.network.denials.set(id, [denial('d')]);
    await on.daemon.sprites.close('leave');
    assert.equal((await on.world.repository.policies.denials(id, 10)).length, 4);
    await on.reboot();
    on.daemon.network.denials.set(id, [denial('e')]);
    await on.delete('one');
    await on.end();
  });

  it('costs nobody his sleep when it cannot be written down', async () => {
    const on = await Scenario.running('a');
    const { network } = on.daemon;
    network.takeDenials = () => Promise.reject(new Error('nft is gone'));
    await assert.rejects(on.daemon.sprites.policies.denials(on.daemon.org, 'one', 1), /nft is gone/);
    assert.equal((await on.suspend('one')).state, 'asleep');
    await on.consistent();
    assert.ok(on.daemon.log.some(({ level, message }) => level === 'warn' && message.includes('denied')));
    await on.end();
  });
});
