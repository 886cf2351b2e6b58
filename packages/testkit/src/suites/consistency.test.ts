// Captures of a sprite that never stops writing: every fork must hold one consistent instant of memory, files and file system.
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { shell } from '../shell.ts';

checkLeaks();

/** Captures made; half as forks, half as checkpoints that are then forked. */
const captures = 50;

/**
 * Writes a record of random bytes with its hash and number, fsyncs, renames it in, and checks the previous one; keeps its count in memory and in a file written after the record.
 * So at every instant: file number ∈ {memory, memory + 1}, the record's hash is right, and no check has ever failed.
 */
const writer = `
import hashlib, os, time
os.makedirs('/home/sprite/w', exist_ok=True); os.chdir('/home/sprite/w')
open('/dev/shm/pid', 'w').write(str(os.getpid()))
n = 0
while True:
    n += 1
    data = os.urandom(65536)
    body = b'%012d %s\\n' % (n, hashlib.sha256(data).hexdigest().encode()) + data
    with open('record.new', 'wb') as f:
        f.write(body); f.flush(); os.fsync(f.fileno())
    os.rename('record.new', 'record')
    with open('/dev/shm/count.new', 'w') as f: f.write(str(n))
    os.rename('/dev/shm/count.new', '/dev/shm/count')
    back = open('record', 'rb').read()
    if hashlib.sha256(back[78:]).hexdigest().encode() != back[13:77] or int(back[:12]) != n:
        open('broken', 'w').write('record %d' % n)
    time.sleep(0.01)
`;

/** Reads what the writer left: its process alive and counting, memory and file of one instant, nothing broken. */
const check = `
cd /home/sprite/w
[ ! -e broken ] || { cat broken; exit 1; }
kill -STOP $(cat /dev/shm/pid)
m=$(cat /dev/shm/count); f=$(head -c 12 record | sed 's/^0*//')
[ "$f" = "$m" ] || [ "$f" = $((m+1)) ] || { echo "memory $m, file $f"; exit 1; }
[ "$(tail -c +79 record | sha256sum | cut -d' ' -f1)" = "$(head -c 77 record | cut -c14-)" ] || { echo "hash of record $f"; exit 1; }
kill -CONT $(cat /dev/shm/pid); sleep 0.3
[ "$(cat /dev/shm/count)" -gt "$m" ] || { echo "the writer stands still"; exit 1; }
[ ! -e broken ] || { cat broken; exit 1; }
echo fine
`;

test(
  `${captures} captures of a sprite that writes, fsyncs and checks itself are each one consistent instant`,
  { timeout: 15 * 60_000 },
  async () => {
    await using daemon = await TestDaemon.start();
    const api = new Api(daemon);
    await api.create('writer');
    await fs.writeFile(path.join(daemon.dataDir, 'writer.py'), writer);
    await api.text(
      'writer',
      `cat > /tmp/w.py <<'END'\n${writer}\nEND\n(python3 -c "$(cat /tmp/w.py)" </dev/null >/dev/null 2>&1 &)\nwhile ! [ -e /dev/shm/count ]; do sleep 0.1; done`,
    );
    for (let i = 1; i <= captures; i++) {
      const name = `c-${i}`;
      if (i % 2 === 0) {
        const id = await api.checkpoint('writer');
        await api.ok('POST', '/v1/sprites/writer/fork', { name, checkpoint: id });
      } else await api.ok('POST', '/v1/sprites/writer/fork', { name });
      const { id } = await api.ok('GET', `/v1/sprites/${name}`);
      await fileSystemIsSound(path.join(daemon.dataDir, 'pool/sprites', id, 'rest/disk'), `${daemon.dataDir}/fsck`);
      assert.equal((await api.sh(name, check)).stdout.trim(), 'fine', `capture ${i}`);
      await api.ok('DELETE', `/v1/sprites/${name}`);
    }
    assert.equal((await api.sh('writer', check)).stdout.trim(), 'fine', 'the source itself');
  },
);

/** As after a power cut: the journal is replayed, then nothing is left to repair. */
async function fileSystemIsSound(disk: string, copy: string): Promise<void> {
  await fs.copyFile(disk, copy, constants.COPYFILE_FICLONE_FORCE);
  await fs.chmod(copy, 0o600);
  try {
    // Replays the journal as a mount would; -E journal_only does no other repair.
    await shell('e2fsck', ['-y', '-E', 'journal_only', copy]);
    await shell('e2fsck', ['-f', '-n', copy]);
  } finally {
    await fs.rm(copy, { force: true });
  }
}
