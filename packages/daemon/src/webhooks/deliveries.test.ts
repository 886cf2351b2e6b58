import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Repository } from '@sylph/engine';
import { openSqliteRepository } from '@sylph/store-sqlite';
import { pino } from 'pino';
import { eventually } from '../api/testing/fixture.ts';
import { isPublicAddress } from './addresses.ts';
import { Deliveries } from './deliveries.ts';
import { newSecret, signedHeaders } from './sign.ts';

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

/** A receiver of messages and a database to send from. Dispose it. */
class Fixture implements AsyncDisposable {
  readonly received: Received[] = [];
  readonly repository: Repository;
  readonly log: string[] = [];
  /** How the receiver answers. */
  answer: (response: ServerResponse) => void = (response) => void response.writeHead(204).end();
  readonly #dir: string;
  readonly #server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      this.received.push({ headers: request.headers, body });
      this.answer(response);
    });
  });

  private constructor(dir: string) {
    this.#dir = dir;
    this.repository = openSqliteRepository(join(dir, 'sylph.db'));
  }

  static async open(): Promise<Fixture> {
    const fixture = new Fixture(await mkdtemp(join(tmpdir(), 'sylph-webhooks-')));
    await new Promise<void>((resolve) => void fixture.#server.listen(0, '127.0.0.1', resolve));
    return fixture;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  deliveries(options: { internalToo?: boolean; pausesMs?: number[] } = {}): Deliveries {
    const log = pino({ level: 'debug' }, { write: (line: string) => void this.log.push(line) });
    return new Deliveries({ repository: this.repository, log, internalToo: true, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.repository[Symbol.asyncDispose]();
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#dir, { recursive: true });
  }
}

const message = { id: 'job-1', orgId: 'acme', secret: 'a secret of sixteen', body: '{"type":"job.ended"}' };

describe('webhooks', () => {
  it('are signed as the Standard Webhooks specification says', () => {
    // The example of the specification's own libraries.
    const signed = signedHeaders(
      {
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
        body: '{"test": 2432232314}',
      },
      new Date(1614265330_000),
    );
    assert.equal(signed['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
    assert.match(newSecret(), /^whsec_[A-Za-z0-9+/]{32}$/);
  });

  it('reach their receiver once, with a signature he can check', async () => {
    await using fixture = await Fixture.open();
    await using deliveries = fixture.deliveries();
    await deliveries.add({ ...message, url: fixture.url });
    await eventually(() => fixture.received.length === 1);
    const { headers, body } = fixture.received[0] as Received;
    const signature = createHmac('sha256', message.secret)
      .update(`job-1.${String(headers['webhook-timestamp'])}.${body}`)
      .digest('base64');
    assert.equal(headers['webhook-signature'], `v1,${signature}`);
    assert.equal(headers['webhook-id'], 'job-1');
    assert.equal(body, message.body);
    await eventually(async () => (await fixture.repository.nextDeliveries(1)).length === 0);
    assert.equal(fixture.received.length, 1);
  });

  it('are tried again after failures, also by the next daemon, and given up in the end', async () => {
    await using fixture = await Fixture.open();
    fixture.answer = (response) => void response.writeHead(500).end();
    {
      await using deliveries = fixture.deliveries({ pausesMs: [10, 100_000] });
      await deliveries.add({ ...message, url: fixture.url });
      await deliveries.add({ ...message, url: fixture.url });
      await eventually(() => fixture.received.length === 2);
      await eventually(async () => (await fixture.repository.nextDeliveries(1))[0]?.attempts === 2);
    }
    await fixture.repository.updateDelivery('job-1', { attempts: 1, nextAttemptAt: new Date().toISOString() });
    await using _next = fixture.deliveries({ pausesMs: [10, 10] });
    await eventually(async () => (await fixture.repository.nextDeliveries(1)).length === 0);
    assert.equal(fixture.received.length, 4);
    assert.ok(fixture.log.some((line) => line.includes('webhook given up')));
  });

  it('follow no redirect and wait for no answer without end', async () => {
    await using fixture = await Fixture.open();
    fixture.answer = (response) => void response.writeHead(302, { location: fixture.url }).end();
    await using deliveries = fixture.deliveries({ pausesMs: [] });
    await deliveries.add({ ...message, url: fixture.url });
    await eventually(async () => (await fixture.repository.nextDeliveries(1)).length === 0);
    assert.equal(fixture.received.length, 1);
    fixture.answer = (response) => void response.writeHead(200).write('and so on');
    await deliveries.add({ ...message, id: 'job-2', url: fixture.url });
    await eventually(() => fixture.log.some((line) => line.includes('webhook delivered')));
  });

  it('of one organization, whose receivers are slow, delay no other’s', async () => {
    await using fixture = await Fixture.open();
    const waiting: ServerResponse[] = [];
    let slow = 0;
    fixture.answer = (response) => {
      if (fixture.received.at(-1)?.body === 'slow') waiting.push(response);
      else response.writeHead(204).end();
      slow = Math.max(slow, waiting.length);
    };
    const at = new Date(Date.now() - 60_000).toISOString();
    const row = { ...message, url: fixture.url, body: 'slow', attempts: 0, nextAttemptAt: at };
    for (let index = 0; index < 50; index += 1)
      await fixture.repository.insertDelivery({ ...row, id: `slow-${index}` });
    const limits: number[] = [];
    const next = fixture.repository.nextDeliveries.bind(fixture.repository);
    fixture.repository.nextDeliveries = (limit, exceptOrgs) => {
      limits.push(limit);
      return next(limit, exceptOrgs);
    };
    await using deliveries = fixture.deliveries();
    await eventually(() => waiting.length === 2);
    await deliveries.add({ ...message, id: 'quick', orgId: 'other', url: fixture.url, body: 'quick' });
    await eventually(() => fixture.received.some(({ body }) => body === 'quick'));
    assert.equal(slow, 2);
    assert.ok(Math.max(...limits) <= 8, 'however many wait');
    // The rest goes out as receivers answer, two at once.
    while ((await next(1)).length > 0) {
      for (const response of waiting.splice(0)) response.writeHead(204).end();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(slow, 2);
    assert.equal(fixture.received.length, 51);
  });

  it('go out in turns: who has many waits for who has one', async () => {
    await using fixture = await Fixture.open();
    const at = (ms: number): string => new Date(Date.now() - 60_000 + ms).toISOString();
    const row = { ...message, url: fixture.url, attempts: 0 };
    for (const orgId of ['a', 'b', 'c', 'd', 'e'])
      for (let index = 0; index < 20; index += 1)
        await fixture.repository.insertDelivery({
          ...row,
          id: `${orgId}${index}`,
          orgId,
          body: orgId,
          nextAttemptAt: at(0),
        });
    await fixture.repository.insertDelivery({ ...row, id: 'late', orgId: 'f', body: 'f', nextAttemptAt: at(1000) });
    fixture.answer = (response) => void setTimeout(() => response.writeHead(204).end(), 5);
    await using _deliveries = fixture.deliveries();
    await eventually(() => fixture.received.length === 101);
    const order = fixture.received.map(({ body }) => body);
    assert.ok(order.indexOf('f') < 10, order.join(''));
    for (const orgId of ['a', 'b', 'c', 'd', 'e']) assert.ok(order.indexOf(orgId) < 10, order.join(''));
  });

  it('do not go to the host itself or its private networks', async () => {
    await using fixture = await Fixture.open();
    await using deliveries = fixture.deliveries({ internalToo: false, pausesMs: [] });
    const { port } = new URL(fixture.url);
    const urls = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0.0.0.0'].map(
      (host) => `http://${host}:${port}/hook`,
    );
    for (const [index, url] of urls.entries()) await deliveries.add({ ...message, id: `job-${index}`, url });
    await eventually(async () => (await fixture.repository.nextDeliveries(1)).length === 0);
    assert.deepEqual(fixture.received, []);
  });

  it('do not go to a public address of the host itself, unless that is allowed', async (t) => {
    await using fixture = await Fixture.open();
    const interfaces = t.mock.method(os, 'networkInterfaces', () => ({
      eth0: [
        { address: '1.1.1.1', family: 'IPv4' },
        { address: '2606:4700::1111', family: 'IPv6' },
        { address: 'fe80::1', family: 'IPv6' },
      ],
    }));
    for (const address of ['1.1.1.1', '2606:4700::1111', '2606:4700:0::1111'])
      assert.equal(isPublicAddress(address), false, address);
    for (const address of ['1.1.1.2', '2606:4700::1112']) assert.equal(isPublicAddress(address), true, address);
    await using deliveries = fixture.deliveries({ internalToo: false, pausesMs: [] });
    await deliveries.add({ ...message, url: 'http://1.1.1.1:9/hook' });
    await eventually(() => fixture.log.some((line) => line.includes('1.1.1.1 is no public address')));
    interfaces.mock.resetCalls();
    await using free = fixture.deliveries();
    await free.add({ ...message, id: 'job-2', url: fixture.url });
    await eventually(() => fixture.received.length === 1);
    assert.equal(interfaces.mock.callCount(), 0);
  });

  it('know public addresses from others', () => {
    for (const address of ['1.1.1.1', '8.8.8.8', '172.15.0.1', '172.32.0.1', '100.63.0.1', '2606:4700::1111'])
      assert.equal(isPublicAddress(address), true, address);
    for (const address of [
      ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.8.8.8', '169.254.169.254', '172.16.0.1', '172.31.255.255'],
      ...['192.168.1.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '198.18.0.1', 'nonsense', ''],
      ...['::', '::1', '::ffff:8.8.8.8', '64:ff9b::808:808', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1'],
      ...['2001::1', '2001:db8::1', '2002:7f00:1::', '4000::1', '8000::1'],
    ])
      assert.equal(isPublicAddress(address), false, address);
  });
});
