import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { WebSocketServer } from 'ws';
import { EdgeFixture } from './testing/fixture.ts';
import type { FakeSprite } from './testing/fake-sprites.ts';

/** Debian's. It asks nobody on the internet for anything. */
const executablePath = '/usr/bin/chromium';
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A page that opens a WebSocket and an event stream, and shows what both say, and what cookies it sees. */
const pageText = `<!doctype html><title>sprite</title><p id=ws></p><p id=sse></p><p id=cookie></p><script>
const show = (id, text) => document.getElementById(id).textContent = text;
const ws = new WebSocket(location.href.replace('http', 'ws') + 'ws');
ws.onopen = () => ws.send('hello');
ws.onmessage = (event) => show('ws', event.data);
new EventSource('/events').onmessage = (event) => show('sse', event.data);
show('cookie', 'cookies: ' + document.cookie);
</script>`;

describe('a browser', () => {
  const stack = new AsyncDisposableStack();
  let edge: EdgeFixture;
  let sprite: FakeSprite;
  let browser: Browser;

  before(async () => {
    edge = stack.use(await EdgeFixture.open());
    const server = http.createServer((request, response) => {
      if (request.url === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: tick\n\n');
        return;
      }
      response.setHeader('set-cookie', 'app=1');
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end(request.url === '/' ? pageText : `you are at ${request.url}`);
    });
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) =>
      socket.on('message', (data) => socket.send(`echo ${(data as Buffer).toString()}`)),
    );
    stack.defer(() => sockets.close());
    sprite = edge.sprites.add(edge.org, 'one', 'sprite');
    sprite.ports.set(8080, await edge.listen(server));
    browser = await chromium.launch({ executablePath, args, headless: true });
    stack.defer(() => browser.close());
  });
  after(() => stack.disposeAsync());

  /** Runs in a fresh profile. */
  async function visiting(work: (page: Page, context: BrowserContext) => Promise<void>): Promise<void> {
    const context = await browser.newContext();
    context.setDefaultTimeout(20_000);
    try {
      await work(await context.newPage(), context);
    } finally {
      await context.close();
    }
  }

  const url = (path = '/'): string => `http://${edge.host('one')}${path}`;
  const login = async (page: Page, token: string): Promise<void> => {
    await page.getByLabel('API token').fill(token);
    await page.getByRole('button', { name: 'Enter' }).click();
  };

  it('logs in with a token, and comes back to where it wanted to go', async () => {
    await visiting(async (page, context) => {
      await page.goto(url('/deep?a=b'));
      assert.match(
        page.url(),
        new RegExp(`^http://login\\.sprites\\.localhost:${edge.port}/\\.sylph/login`),
        'the token is not typed at the sprite',
      );
      await login(page, 'wrong');
      await page.getByRole('alert').getByText('does not open this sprite').waitFor();
      await login(page, edge.token());
      await page.getByText('you are at /deep?a=b').waitFor();
      assert.equal(page.url(), url('/deep?a=b'));
      const cookies = await context.cookies();
      const own = cookies.filter(({ name }) => name.includes('sylph'));
      assert.deepEqual(
        own.map(({ name, httpOnly, sameSite, domain }) => [name, httpOnly, sameSite, domain]),
        [['sylph-edge', true, 'Lax', edge.host('one').split(':')[0]]],
      );
    });
  });

  it('runs the sprite’s page: WebSocket, events, and no sight of the edge’s cookie', async () => {
    await visiting(async (page) => {
      await page.goto(url());
      await login(page, edge.token());
      await page.getByText('echo hello').waitFor();
      await page.getByText('tick').waitFor();
      assert.equal(await page.locator('#cookie').textContent(), 'cookies: app=1');
    });
  });

  it('opens a preview link, with its password, without an account, until it is revoked', async () => {
    const link = await edge.link(sprite, { password: 'open sesame' });
    await visiting(async (page) => {
      await page.goto(url(link.path));
      await page.getByLabel('Password').fill('wrong');
      await page.getByRole('button', { name: 'Open' }).click();
      await page.getByText('This is not the password').waitFor();
      await page.getByLabel('Password').fill('open sesame');
      await page.getByRole('button', { name: 'Open' }).click();
      await page.getByText('echo hello').waitFor();
      assert.equal(page.url(), url());
      await edge.repository.edge.removeLink(sprite.row.id, link.id);
      await page.reload();
      await page.getByLabel('API token').waitFor();
    });
  });

  it('does not let a page of another sprite use the login', async () => {
    const seen: string[] = [];
    sprite.ports.set(
      9000,
      await edge.serve((request, response) => {
        seen.push(`${request.method} ${request.url}`);
        response.end('private');
      }),
    );
    await edge.sprite('evil', (_request, response) => {
      const target = `http://${edge.host('one', 9000)}`;
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><img src="${target}/image"><form id=f method=post target=t action="${target}/form"></form><iframe name=t></iframe>
        <script>f.submit(); fetch('${target}/fetch', { mode: 'no-cors', credentials: 'include' }).finally(() => {
          const ws = new WebSocket('${target.replace('http', 'ws')}/ws'); ws.onerror = ws.onopen = () => document.title = 'tried'; });</script>`);
    });
    await visiting(async (page) => {
      await page.goto(`http://${edge.host('one', 9000)}/own`);
      await login(page, edge.token());
      await page.getByText('private').waitFor();
      assert.deepEqual(
        seen.filter((each) => !each.includes('favicon')),
        ['GET /own'],
      );
      await page.goto(`http://${edge.host('evil')}/`);
      await page.waitForFunction(`document.title === 'tried'`);
      assert.deepEqual(
        seen.filter((each) => !each.includes('favicon')),
        ['GET /own'],
        'nothing it caused has reached the sprite',
      );
    });
  });

  it('is told in words what is wrong', async () => {
    await edge.sprite('broken', () => {}, { port: 1 });
    edge.sprites.all.get(`${edge.org.id}/broken`)?.ports.clear();
    await visiting(async (page) => {
      const answer = await page.goto(`http://${edge.host('broken')}/`);
      assert.equal(answer?.status(), 502);
      await page.getByRole('heading', { name: 'The sprite did not answer' }).waitFor();
      await page.getByText('Start a server in the sprite on port 8080').waitFor();
    });
  });
});
