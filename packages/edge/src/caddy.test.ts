import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import WebSocket, { WebSocketServer } from 'ws';
import { EdgeFixture } from './testing/fixture.ts';
import { freePort, Program } from './testing/program.ts';

const run = promisify(execFile);
const shipped = path.join(import.meta.dirname, '../../../deploy/Caddyfile');

it('the shipped configuration of Caddy serves sprites over HTTPS, and makes certificates for them alone', async () => {
  await using edge = await EdgeFixture.open();
  const server = http.createServer((request, response) => response.end(JSON.stringify(request.headers)));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  const sprite = await edge.sprite('one', () => {});
  sprite.ports.set(8080, await edge.listen(server));
  const hidden = await edge.sprite('two', (_request, response) => response.end('in'), { auth: 'sprite' });

  const httpsPort = await freePort();
  const httpPort = await freePort();
  // The same file, but certificates of its own issuer, other ports, and nothing outside its directory.
  const own = `{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\thttp_port ${httpPort}\n\thttps_port ${httpsPort}\n\tstorage file_system ${edge.dir}/caddy\n`;
  const file = path.join(edge.dir, 'Caddyfile');
  await writeFile(file, (await readFile(shipped, 'utf8')).replace(/^\{\n/m, own));
  await using caddy = new Program('caddy', ['run', '--adapter', 'caddyfile', '--config', file], {
    SYLPH_EDGE: `127.0.0.1:${edge.port}`,
    HOME: edge.dir,
  });
  await caddy.listening(httpsPort);

  const name = (sprite: string): string => edge.host(sprite).split(':')[0] as string;
  const curl = async (host: string, target: string, ...options: string[]): Promise<string> =>
    (
      await run('curl', [
        '-sSik',
        '--max-time',
        '20',
        '--resolve',
        `${host}:${httpsPort}:127.0.0.1`,
        ...options,
        `https://${host}:${httpsPort}${target}`,
      ])
    ).stdout;

  const answer = await curl(name('one'), '/', '-H', 'Sprite-Client-Ip: 1.2.3.4', '-H', 'X-Forwarded-For: 5.6.7.8');
  assert.match(answer, /^HTTP\/2 200/, caddy.text.slice(-1_000));
  assert.match(answer, /strict-transport-security: max-age=31536000/);
  const seen = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Record<string, string>;
  assert.deepEqual(
    [seen['host'], seen['sprite-client-ip'], seen['x-forwarded-for'], seen['x-forwarded-proto']],
    [`${name('one')}:${httpsPort}`, '127.0.0.1', '127.0.0.1', 'https'],
    'what a stranger says of itself is not believed',
  );

  const options = {
    servername: name('one'),
    headers: { host: `${name('one')}:${httpsPort}` },
    rejectUnauthorized: false,
  };
  const socket = new WebSocket(`wss://127.0.0.1:${httpsPort}/`, options);
  await once(socket, 'open');
  socket.send('hello');
  const [text] = (await once(socket, 'message')) as [Buffer];
  assert.equal(text.toString(), 'hello');
  socket.close();
  await once(socket, 'close');

  const link = await edge.link(hidden);
  assert.match(
    await curl(name('two'), link.path),
    /set-cookie: __Host-sylph-edge=[^;]+; Path=\/; HttpOnly; SameSite=Lax; [^\r]*Secure/,
  );
  assert.match(
    await curl(name('two'), '/', '-H', 'Accept: text/html'),
    new RegExp(`location: https://login\\.sprites\\.localhost:${httpsPort}/\\.sylph/login`),
  );
  assert.match(
    await curl(name('one'), `/.sylph/tls-ask?domain=${name('one')}`),
    /^HTTP\/2 404/,
    'nobody outside may ask',
  );
  await assert.rejects(curl(name('none'), '/'), /SSL|TLS/i, 'no certificate is made for what is not ours');
  const { stdout: redirected } = await run('curl', [
    '-sSi',
    '--resolve',
    `${name('one')}:${httpPort}:127.0.0.1`,
    `http://${name('one')}:${httpPort}/a`,
  ]);
  assert.match(redirected, /^HTTP\/1\.1 308 [^]*Location: https:\/\//);
  sockets.close();
});
