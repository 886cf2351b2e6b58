import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EdgeFixture, type FetchedAnswer } from './testing/fixture.ts';

/** A sprite's server that shows the head it got. */
const show = (
  request: { headers: IncomingHttpHeaders; url?: string | undefined },
  response: { end: (text: string) => void },
): void => response.end(JSON.stringify({ url: request.url, ...request.headers }));

const page = { accept: 'text/html,application/xhtml+xml' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** Cookies an answer sets, as a Cookie header. */
function cookiesOf(answer: FetchedAnswer): string {
  return (answer.headers['set-cookie'] ?? []).map((each) => each.split(';', 1)[0]).join('; ');
}

/** Logs in at a private sprite as a browser would; the cookie. */
async function login(edge: EdgeFixture, name: string, token: string, host = edge.host(name)): Promise<string> {
  const first = await edge.fetch(host, '/there?q=1', { headers: page });
  assert.equal(first.status, 302);
  const at = new URL(first.headers.location as string);
  const shown = await edge.fetch(at.host, `${at.pathname}${at.search}`, { headers: page });
  assert.equal(shown.status, 200);
  const way = /name="for" value="([^"]+)"/.exec(shown.body)?.[1] ?? '';
  const sent = await edge.fetch(at.host, '/.sylph/login', {
    method: 'POST',
    headers: { ...form, origin: at.origin },
    body: new URLSearchParams({ for: way, token }).toString(),
  });
  assert.equal(sent.status, 303, sent.body);
  const back = new URL(sent.headers.location as string);
  assert.equal(back.host, host, 'back to where it began');
  const entered = await edge.fetch(back.host, `${back.pathname}${back.search}`, {
    headers: { ...page, cookie: cookiesOf(first) },
  });
  assert.deepEqual([entered.status, entered.headers.location], [302, `http://${host}/there?q=1`], entered.body);
  return cookiesOf(entered).split('; ')[0] as string;
}

/** An answer that goes on, its head come. */
async function open(edge: EdgeFixture, name: string, header: string): Promise<net.Socket> {
  const socket = net.connect(edge.port, '127.0.0.1');
  socket.write(`GET / HTTP/1.1\r\nHost: ${edge.host(name)}\r\n${header}\r\n`);
  const [head] = (await once(socket, 'data')) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 200 /);
  return socket;
}

describe('a public sprite', () => {
  it('is open to all, and gets Authorization as it was sent', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show);
    for (const authorization of ['Basic dTpw', `Bearer ${edge.token()}`, 'Bearer app']) {
      const answer = await edge.fetch(edge.host('one'), '/', { headers: { authorization } });
      assert.equal(JSON.parse(answer.body).authorization, authorization);
    }
  });
});

describe('a private sprite', () => {
  it('is open to tokens of its organization, which it never gets', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', show, { auth: 'sprite' });
    const token = edge.token();
    for (const scheme of ['Bearer', 'bearer']) {
      const answer = await edge.fetch(edge.host('one'), '/', { headers: { authorization: `${scheme} ${token}` } });
      assert.equal(answer.status, 200);
      assert.equal(JSON.parse(answer.body).authorization, undefined);
    }
    sprite.sleep();
    const wakes = sprite.wakes;
    edge.revoke(token);
    const other = edge.token(await edge.repository.ensureOrg('other'));
    for (const authorization of [
      undefined,
      `Bearer ${token}`,
      `Bearer ${other}`,
      'Bearer',
      'Basic dTpw',
      `Bearer ${'x'.repeat(5_000)}`,
    ]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const answer = await edge.fetch(edge.host('one'), '/', { headers });
      assert.deepEqual([answer.status, JSON.parse(answer.body).code], [401, 'unauthenticated'], String(authorization));
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="sylph"');
    }
    assert.equal(sprite.wakes, wakes, 'who may not enter wakes nothing');
  });

  it('looks like one that does not exist', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show, { auth: 'sprite' });
    const hosts = [edge.host('one'), edge.host('none'), edge.host('one').replace(edge.org.urlSuffix, 'zzzzzz')];
    for (const headers of [
      {},
      page,
      { authorization: 'Bearer x' },
      { authorization: `Bearer ${edge.token(await edge.repository.ensureOrg('other'))}` },
    ]) {
      const answers = await Promise.all(hosts.map((host) => edge.fetch(host, '/x', { headers })));
      const seen = answers.map(({ status, body, headers: { date: _date, location, 'set-cookie': cookies, ...rest } }) =>
        JSON.stringify([
          status,
          body,
          rest,
          location?.replace(/for=.*/, ''),
          cookies?.map((each) => each.replace(/=[^;]+/, '')),
        ]),
      );
      assert.deepEqual(
        seen,
        seen.map(() => seen[0]),
      );
    }
    for (const token of [edge.token(await edge.repository.ensureOrg('third')), 'wrong']) {
      const texts: string[] = [];
      for (const host of hosts) {
        const at = new URL((await edge.fetch(host, '/', { headers: page })).headers.location as string);
        const way = at.searchParams.get('for') as string;
        const body = new URLSearchParams({ for: way, token }).toString();
        const sent = await edge.fetch(at.host, '/.sylph/login', { method: 'POST', headers: form, body });
        texts.push(`${sent.status} ${sent.body.replaceAll(way, 'WAY')}`);
      }
      assert.deepEqual(
        texts,
        texts.map(() => texts[0]),
      );
      assert.match(String(texts[0]), /^401 .*does not open this sprite/);
    }
  });

  it('lets in who logs in, for this sprite only, as long as the token stands', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show, { auth: 'sprite' });
    await edge.sprite('two', show, { auth: 'sprite' });
    const token = edge.token();
    const cookie = await login(edge, 'one', token);
    const inside = await edge.fetch(edge.host('one'), '/', { headers: { cookie: `a=1; ${cookie}; b=2` } });
    assert.equal(inside.status, 200);
    assert.equal(JSON.parse(inside.body).cookie, 'a=1; b=2', 'the sprite does not see it');
    assert.equal((await edge.fetch(edge.host('one', 8080), '/', { headers: { cookie } })).status, 200);
    assert.equal((await edge.fetch(edge.host('two'), '/', { headers: { cookie } })).status, 401);
    for (const wrong of [
      cookie.slice(0, -1),
      `${cookie}x`,
      cookie.replace('.', 'x.'),
      'sylph-edge=',
      'sylph-edge=a.b.c',
      `__Host-${cookie}`,
    ])
      assert.equal((await edge.fetch(edge.host('one'), '/', { headers: { cookie: wrong } })).status, 401, wrong);
    const tossed = `sylph-edge=planted.by-a-neighbour; ${cookie}`;
    assert.equal(
      (await edge.fetch(edge.host('one'), '/', { headers: { cookie: tossed } })).status,
      200,
      'one that a neighbour set beside it does no harm',
    );
    const app = await edge.fetch(edge.host('one'), '/', { headers: { cookie, authorization: 'Bearer of.the.app' } });
    assert.equal(JSON.parse(app.body).authorization, 'Bearer of.the.app', 'the application’s own tokens reach it');
    const ours = await edge.fetch(edge.host('one'), '/', { headers: { cookie, authorization: `Bearer ${token}` } });
    assert.equal(JSON.parse(ours.body).authorization, undefined);
    edge.revoke(token);
    assert.equal((await edge.fetch(edge.host('one'), '/', { headers: { cookie } })).status, 401);
  });

  it('does not obey pages of other sprites that a logged-in browser shows', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show, { auth: 'sprite' });
    await edge.sprite('two', show);
    const cookie = await login(edge, 'one', edge.token());
    const status = async (headers: Record<string, string>, method = 'GET'): Promise<number> =>
      (await edge.fetch(edge.host('one'), '/', { method, headers: { cookie, ...headers } })).status;
    assert.equal(await status({ 'sec-fetch-site': 'same-origin' }), 200);
    assert.equal(await status({ 'sec-fetch-site': 'none' }), 200);
    assert.equal(
      await status({ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }),
      200,
      'a link is followed',
    );
    assert.equal(await status({ origin: `http://${edge.host('one')}` }, 'POST'), 200);
    assert.equal(
      await status({ origin: `http://${edge.host('one', 3000)}`, 'sec-fetch-site': 'same-site' }, 'POST'),
      200,
      'another port of the same sprite',
    );
    for (const [headers, method] of [
      [{ origin: `http://${edge.host('two')}`, 'sec-fetch-site': 'same-site' }, 'POST'],
      [{ origin: `http://${edge.host('two')}` }, 'GET'],
      [{ origin: 'null' }, 'POST'],
      [{ origin: 'https://evil.example' }, 'POST'],
      [{ 'sec-fetch-site': 'same-site' }, 'GET'],
      [{ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }, 'GET'],
      [{ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }, 'GET'],
      [
        {
          origin: `http://${edge.host('two')}`,
          'sec-fetch-site': 'same-site',
          'sec-fetch-mode': 'navigate',
          'sec-fetch-dest': 'document',
        },
        'POST',
      ],
    ] as const)
      assert.equal(await status(headers, method), 401, JSON.stringify(headers));
  });

  it('is reached by a domain of its own alike', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', show, { auth: 'sprite' });
    await edge.domain(sprite, 'app.example.com');
    assert.equal((await edge.fetch('App.Example.com', '/')).status, 401);
    assert.equal((await edge.fetch('other.example.com', '/')).status, 404);
    const cookie = await login(edge, 'one', edge.token(), 'app.example.com');
    const inside = await edge.fetch('app.example.com', '/', { headers: { cookie } });
    assert.equal(JSON.parse(inside.body).host, 'app.example.com');
    await edge.repository.edge.removeDomain(sprite.row.id, 'app.example.com');
    assert.equal((await edge.fetch('app.example.com', '/', { headers: { cookie } })).status, 404);
  });

  it('cannot plant cookies of the edge', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', (_request, response) => {
      response.setHeader('set-cookie', [
        'a=1',
        'sylph-edge=evil',
        '__Host-sylph-edge=evil; Secure',
        'sylph-edge-login=x',
        'b=2',
      ]);
      response.end();
    });
    assert.deepEqual((await edge.fetch(edge.host('one'))).headers['set-cookie'], ['a=1', 'b=2']);
  });
});

describe('the login', () => {
  it('ends where it began, in the browser where it began, and only once in time', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show, { auth: 'sprite' });
    await edge.sprite('two', show, { auth: 'sprite' });
    const first = await edge.fetch(edge.host('one'), '//evil.example/x', { headers: page });
    const at = new URL(first.headers.location as string);
    const body = new URLSearchParams({ for: at.searchParams.get('for') as string, token: edge.token() }).toString();
    const sent = await edge.fetch(at.host, '/.sylph/login', { method: 'POST', headers: form, body });
    const back = new URL(sent.headers.location as string);
    const enter = (host: string, cookie: string): Promise<FetchedAnswer> =>
      edge.fetch(host, `${back.pathname}${back.search}`, { headers: { ...page, cookie } });
    assert.equal((await enter(back.host, '')).status, 403, 'another browser');
    assert.equal((await enter(back.host, 'sylph-edge-login=other')).status, 403);
    assert.equal((await enter(edge.host('two'), cookiesOf(first))).status, 403, 'another sprite');
    const entered = await enter(back.host, cookiesOf(first));
    assert.equal(entered.status, 302);
    assert.equal(
      new URL(entered.headers.location as string, `http://${back.host}`).host,
      back.host,
      'not to another host',
    );
    assert.match(String(entered.headers['set-cookie']), /sylph-edge-login=;[^,]*Max-Age=0/);
  });

  it('takes forms of its own page only, and shows no other page its own', async () => {
    await using edge = await EdgeFixture.open();
    await edge.sprite('one', show, { auth: 'sprite' });
    const at = new URL((await edge.fetch(edge.host('one'), '/', { headers: page })).headers.location as string);
    const body = new URLSearchParams({ for: at.searchParams.get('for') as string, token: edge.token() }).toString();
    const post = async (headers: Record<string, string>, text = body): Promise<number> =>
      (await edge.fetch(at.host, '/.sylph/login', { method: 'POST', headers: { ...form, ...headers }, body: text }))
        .status;
    for (const headers of [
      { origin: `http://${edge.host('one')}` },
      { origin: 'null' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site' },
    ] as Record<string, string>[])
      assert.equal(await post(headers), 403, JSON.stringify(headers));
    assert.equal(await post({ 'content-type': 'text/plain' }), 400);
    assert.equal(await post({}, 'for=x&token=y'), 400);
    assert.equal(await post({}, `token=${'x'.repeat(20_000)}`), 413);
    const shown = await edge.fetch(at.host, `${at.pathname}${at.search}`, { headers: page });
    assert.match(String(shown.headers['content-security-policy']), /frame-ancestors 'none'/);
    assert.equal(shown.headers['x-frame-options'], 'DENY');
    assert.doesNotMatch(shown.body, /<script/);
    const planted = await edge.fetch(at.host, '/.sylph/login?for=%22%3E%3Cscript%3E', { headers: page });
    assert.equal(planted.status, 400);
    assert.doesNotMatch(planted.body, /<script/);
    assert.equal((await edge.fetch(at.host, '/')).status, 404);
  });

  it('is not tried endlessly', async () => {
    await using edge = await EdgeFixture.open({ limits: { maxWrongSecrets: 3 } });
    await edge.sprite('one', show, { auth: 'sprite' });
    const at = new URL((await edge.fetch(edge.host('one'), '/', { headers: page })).headers.location as string);
    const attempt = (token: string): Promise<FetchedAnswer> =>
      edge.fetch(at.host, '/.sylph/login', {
        method: 'POST',
        headers: form,
        body: new URLSearchParams({ for: at.searchParams.get('for') as string, token }).toString(),
      });
    for (let count = 0; count < 3; count++) assert.equal((await attempt('wrong')).status, 401);
    const refused = await attempt(edge.token());
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    assert.equal((await edge.fetch(edge.host('one'), '/', { headers: { authorization: 'Bearer wrong' } })).status, 429);
    assert.equal(
      (await edge.fetch(edge.host('one'), '/', { headers: { authorization: `Bearer ${edge.token()}` } })).status,
      200,
      'who has a token is not locked out by others',
    );
  });
});

describe('preview links', () => {
  it('open one sprite for who has them, until they are revoked', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', show, { auth: 'sprite' });
    const other = await edge.sprite('two', show, { auth: 'sprite' });
    const link = await edge.link(sprite);
    const opened = await edge.fetch(edge.host('one'), link.path, { headers: page });
    assert.deepEqual([opened.status, opened.headers.location], [303, '/']);
    const cookie = cookiesOf(opened);
    const status = async (host: string): Promise<number> =>
      (await edge.fetch(host, '/', { headers: { cookie } })).status;
    assert.equal(await status(edge.host('one')), 200);
    assert.equal(await status(edge.host('two')), 401);
    assert.equal(await status(edge.host('one', 8080)), 401, 'not its ports');
    await edge.link(other);
    for (const [host, path] of [
      [edge.host('two'), link.path],
      [edge.host('one'), link.path.slice(0, -1)],
      [edge.host('one'), `/.sylph/link/${link.id}.`],
      [edge.host('one'), '/.sylph/link/x.y'],
      [edge.host('none'), link.path],
    ] as const)
      assert.equal((await edge.fetch(host, path)).status, 404, path);
    await edge.repository.edge.removeLink(sprite.row.id, link.id);
    assert.equal(await status(edge.host('one')), 401, 'revoked');
    assert.equal((await edge.fetch(edge.host('one'), link.path)).status, 404);
  });

  it('of a port open that port alone, and end with their time', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', show, { auth: 'sprite', port: 3000 });
    const link = await edge.link(sprite, { port: 3000, expiresAt: new Date(Date.now() + 1_000).toISOString() });
    assert.equal((await edge.fetch(edge.host('one'), link.path)).status, 404);
    const cookie = cookiesOf(await edge.fetch(edge.host('one', 3000), link.path));
    assert.equal((await edge.fetch(edge.host('one', 3000), '/', { headers: { cookie } })).status, 200);
    assert.equal((await edge.fetch(edge.host('one'), '/', { headers: { cookie } })).status, 401);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    assert.equal((await edge.fetch(edge.host('one', 3000), '/', { headers: { cookie } })).status, 401);
    assert.equal((await edge.fetch(edge.host('one', 3000), link.path)).status, 404);
  });

  it('with a password ask for it, and are not guessed at', async () => {
    await using edge = await EdgeFixture.open({ limits: { maxWrongSecrets: 2 } });
    const sprite = await edge.sprite('one', show, { auth: 'sprite' });
    const link = await edge.link(sprite, { password: 'open sesame' });
    const asked = await edge.fetch(edge.host('one'), link.path, { headers: page });
    assert.deepEqual([asked.status, asked.headers['set-cookie']], [200, undefined]);
    assert.match(asked.body, /type="password"/);
    const attempt = (password: string, headers = {}): Promise<FetchedAnswer> =>
      edge.fetch(edge.host('one'), link.path, {
        method: 'POST',
        headers: { ...form, ...headers },
        body: new URLSearchParams({ password }).toString(),
      });
    assert.equal((await attempt('open sesame', { origin: 'http://evil.example' })).status, 403);
    const opened = await attempt('open sesame');
    assert.equal(opened.status, 303);
    assert.equal((await edge.fetch(edge.host('one'), '/', { headers: { cookie: cookiesOf(opened) } })).status, 200);
    assert.equal((await attempt('wrong')).status, 401);
    assert.equal((await attempt('')).status, 401);
    assert.equal((await attempt('open sesame')).status, 429);
  });
});

describe('what is open', () => {
  it('ends with what let its client in: a link, a token, a login, or that the sprite was public', async () => {
    await using edge = await EdgeFixture.open({ limits: { proofIntervalMs: 50 } });
    const stream: RequestListener = (_request, response) => void response.write('begun');
    const sprite = await edge.sprite('one', stream, { auth: 'sprite' });
    const shown = await edge.sprite('two', stream);
    const [revoked, loggedIn, kept] = [edge.token(), edge.token(), edge.token()];
    const link = await edge.link(sprite);
    const byLink = cookiesOf(await edge.fetch(edge.host('one'), link.path));
    const byLogin = await login(edge, 'one', loggedIn);
    const stays = await open(edge, 'one', `Authorization: Bearer ${kept}\r\n`);
    for (const [socket, revoke] of [
      [await open(edge, 'one', `Cookie: ${byLink}\r\n`), () => edge.repository.edge.removeLink(sprite.row.id, link.id)],
      [await open(edge, 'one', `Authorization: Bearer ${revoked}\r\n`), () => edge.revoke(revoked)],
      [await open(edge, 'one', `Cookie: ${byLogin}\r\n`), () => edge.revoke(loggedIn)],
      [await open(edge, 'two', ''), () => Object.assign(shown.row, { urlAuth: 'sprite' })],
    ] as const) {
      await sleep(150);
      assert.equal(socket.destroyed, false);
      const closed = once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
      await revoke();
      await closed;
    }
    assert.equal(stays.destroyed, false, 'who may stay stays');
    stays.destroy();
  });
});

describe('the edge’s own paths', () => {
  it('never reach a sprite, on any host', async () => {
    await using edge = await EdgeFixture.open();
    let asked = 0;
    await edge.sprite('one', (_request, response) => {
      asked += 1;
      response.end();
    });
    for (const path of ['/.sylph', '/.sylph/', '/.sylph/x', '/.sylph?x', '/.sylph/tls-ask?domain=x'])
      assert.equal((await edge.fetch(edge.host('one'), path)).status, 404, path);
    assert.equal(asked, 0);
    assert.equal((await edge.fetch(edge.host('one'), '/.sylphx')).status, 200);
  });
});
