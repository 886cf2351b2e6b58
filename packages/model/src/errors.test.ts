import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorBody, toErrorBody } from './error-body.ts';
import { errorTable, SylphError, type ErrorCode } from './errors.ts';

const codes = Object.keys(errorTable) as ErrorCode[];

describe('the error table', () => {
  it('gives each code a status of its kind, and an exit code that says failure', () => {
    for (const code of codes) {
      const { status, exitCode, fault } = errorTable[code];
      assert.match(code, /^[a-z]+(_[a-z]+)*$/);
      assert.ok(
        fault === 'user' ? status >= 400 && status < 500 : status >= 500 && status < 600,
        `${code}: ${status} for a fault of ${fault}`,
      );
      assert.ok(exitCode === 1 || exitCode === 2, code);
      assert.equal(
        exitCode === 2,
        status === 400 || status === 413,
        `${code}: 2 is for requests that cannot be understood`,
      );
    }
  });

  it('does not invite to repeat a command whose end nobody knows', () => {
    assert.equal(errorTable.session_lost.retryable, false);
  });

  it('calls no conflict and nothing missing retryable', () => {
    for (const code of codes)
      if ([400, 401, 403, 404, 405, 409, 410, 413].includes(errorTable[code].status))
        assert.equal(errorTable[code].retryable, false, code);
  });
});

describe('SylphError', () => {
  it('carries what the table says, and what it was given', () => {
    const cause = new Error('below');
    const error = new SylphError('pool_full', 'the pool is full', {
      hint: 'Make room.',
      context: { freeBytes: 0 },
      cause,
    });
    assert.deepEqual(
      [error.status, error.exitCode, error.retryable, error.hint, error.context, error.cause],
      [507, 1, true, 'Make room.', { freeBytes: 0 }, cause],
    );
    assert.ok(!('cause' in new SylphError('internal', 'x')));
  });

  it('wraps anything thrown, and itself not at all', () => {
    const own = new SylphError('timeout', 'too late');
    assert.equal(SylphError.from(own), own);
    const thrown = new TypeError('broken');
    const wrapped = SylphError.from(thrown);
    assert.deepEqual([wrapped.code, wrapped.message, wrapped.cause], ['internal', 'broken', thrown]);
    assert.equal(SylphError.from('text').message, 'text');
    assert.equal(SylphError.from(undefined).code, 'internal');
  });

  it('has a body for every code that fits its schema and leaks neither context nor cause', () => {
    for (const code of codes) {
      const body = toErrorBody(new SylphError(code, 'message', { context: { secret: 1 }, cause: new Error('secret') }));
      assert.deepEqual(errorBody.parse(body), {
        error: 'message',
        message: 'message',
        code,
        hint: errorTable[code].hint,
        retryable: errorTable[code].retryable,
      });
    }
    assert.equal(toErrorBody(new SylphError('internal', 'x', { hint: 'y' })).hint, 'y');
    const faulty = toErrorBody(new SylphError('invalid_request', 'a; b'), ['a', 'b']);
    assert.deepEqual(errorBody.parse(faulty).errors, ['a', 'b']);
  });
});
