import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndedJobs } from './ended-jobs.ts';

/** A job that has ended; `wantsNotice` until it is told. */
class Job {
  readonly id: string;
  wantsNotice: boolean;
  recorded = Promise.resolve();

  constructor(id: number, wantsNotice: boolean) {
    this.id = String(id);
    this.wantsNotice = wantsNotice;
  }

  async markNotified(): Promise<void> {
    this.wantsNotice = false;
  }
}

/** Ended jobs with an outside that takes note of nothing until {@link heard}. */
class Fixture {
  readonly removed: string[] = [];
  readonly notices: string[] = [];
  readonly heard = Promise.withResolvers<void>();
  readonly #work: Promise<void>[] = [];
  readonly jobs = new EndedJobs<Job>({
    notify: () => this.heard.promise,
    remove: async (job) => void this.removed.push(job.id),
    track: (work) => void this.#work.push(work),
    notice: (message) => void this.notices.push(message),
  });

  /** Adds jobs numbered from `first` up to `last`. */
  add(first: number, last: number, wantsNotice: boolean): void {
    for (let id = first; id <= last; id += 1) this.jobs.add(new Job(id, wantsNotice));
  }

  async settled(): Promise<void> {
    for (const work of this.#work) await work;
  }
}

describe('ended jobs', () => {
  it('go when there are too many, the oldest first', async () => {
    const fixture = new Fixture();
    fixture.add(1, 1003, false);
    assert.deepEqual(fixture.removed, ['1', '2', '3']);
    assert.equal(fixture.jobs.all().length, 1000);
    assert.equal(fixture.jobs.get('3'), undefined);
  });

  it('stay until their end has been told, whose place younger ones give up', async () => {
    const fixture = new Fixture();
    fixture.add(1, 2, true);
    fixture.add(3, 1002, false);
    assert.deepEqual(fixture.removed, ['3', '4']);
    fixture.add(2001, 2999, true);
    assert.equal(fixture.removed.length, 1000, 'all whose end nobody waits to hear of');
    assert.deepEqual(
      fixture.jobs
        .all()
        .slice(0, 3)
        .map(({ id }) => id),
      ['1', '2', '2001'],
    );
    fixture.heard.resolve();
    await fixture.settled();
    assert.ok(fixture.jobs.all().every(({ wantsNotice }) => !wantsNotice));
    assert.equal(fixture.jobs.all().length, 1000);
    assert.deepEqual(fixture.notices, []);
  });

  it('that cannot be told are kept up to twice as many; then the oldest go, and the log says so', async () => {
    const fixture = new Fixture();
    fixture.add(1, 2001, true);
    assert.deepEqual(fixture.removed, ['1']);
    assert.match(fixture.notices.join(), /could not be told/);
    fixture.heard.resolve();
    await fixture.settled();
    assert.equal(fixture.jobs.all().length, 1000);
    assert.equal(fixture.jobs.all()[0]?.id, '1002');
  });
});
