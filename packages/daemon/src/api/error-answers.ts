import { errorBody, SylphError, toErrorBody, type ErrorCode } from '@sylph/model';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type * as z from 'zod';
import { logFailure } from './failure-log.ts';
import { RateLimited } from './rate-limits.ts';
import { shortened } from './shortened.ts';

/** When to ask again for one more awake sprite: nobody knows when one goes to sleep. */
const awakeRetryS = 10;

/** What every route can answer besides success, for the OpenAPI document. */
export const errorResponses = {
  '4xx': errorBody.describe('The request cannot be served as it is; nothing was changed'),
  '5xx': errorBody.describe('The request could not be served; `retryable` tells whether repeating it can help'),
};

/** A request that does not fit, with each fault in it. */
export class InvalidRequest extends SylphError {
  readonly faults: string[];

  constructor(faults: string[], hint?: string, code: ErrorCode = 'invalid_request') {
    super(code, faults.join('; '), { hint });
    this.faults = faults;
  }

  /** From a failed check; `where` names what was checked, e.g. `body`. */
  static of(error: z.ZodError, where: string, hint?: string): InvalidRequest {
    return new InvalidRequest(
      error.issues.map((issue) => describeFault(where, issue.path.map(String), issue.message)),
      hint,
    );
  }
}

/** Answers every failure in one shape. What is our fault is logged. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((thrown: unknown, request, reply) => {
    const error = toSylphError(thrown, request);
    if (error.status >= 500) logFailure(request.log, thrown, 'request failed');
    return sendError(reply, error);
  });
}

/** Sends an error as the answer. */
export function sendError(reply: FastifyReply, error: SylphError): FastifyReply {
  const body = errorAnswerOf(error);
  if (body.retry_after_seconds !== undefined) reply.header('retry-after', body.retry_after_seconds);
  return reply.code(error.status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

/** The answer's body. Internal errors keep their text to the log. */
export function errorAnswerOf(error: SylphError): z.output<typeof errorBody> {
  if (error.code === 'internal')
    return toErrorBody(
      new SylphError('internal', 'an internal error; the log of sylphd has it under this request id', {
        hint: 'Look for the X-Request-Id of this answer in the log.',
      }),
    );
  const body = toErrorBody(error, error instanceof InvalidRequest ? error.faults : undefined);
  if (error instanceof RateLimited) return { ...body, error: error.kind, ...error.numbers };
  return error.code === 'too_many_sprites' ? { ...body, ...awakeLimit(error) } : body;
}

/** The refusal of one more awake sprite, as existing clients read it. */
function awakeLimit({ context }: SylphError): Partial<z.output<typeof errorBody>> {
  const { limit, currentCount } = context;
  return {
    error: 'concurrent_sprite_limit_exceeded',
    ...(typeof limit === 'number' ? { limit } : {}),
    ...(typeof currentCount === 'number' ? { current_count: currentCount } : {}),
    retry_after_seconds: awakeRetryS,
    upgrade_available: false,
  };
}

function toSylphError(thrown: unknown, request: FastifyRequest): SylphError {
  if (thrown instanceof SylphError) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return validationError(thrown, request);
  const status = (thrown as Partial<FastifyError>).statusCode ?? 500;
  if (status === 413) return new SylphError('body_too_large', 'the body of the request is too large');
  if (status >= 400 && status < 500) return new SylphError('invalid_request', shortened((thrown as Error).message));
  return SylphError.from(thrown);
}

function validationError(thrown: FastifyError, request: FastifyRequest): SylphError {
  const where = thrown.validationContext ?? 'request';
  const issues = (thrown.validation ?? []).map((issue) => ({
    path: issue.instancePath.split('/').filter((part) => part !== ''),
    message: issue.message ?? 'does not fit',
  }));
  // The name has its own code and the text existing clients know, without the place it was found in.
  const names = issues.filter((issue) => where === 'body' && issue.path.length === 1 && issue.path[0] === 'name');
  const faults = issues.map((issue) =>
    issue.path.at(-1) === 'auth' || names.includes(issue)
      ? shortened(issue.message)
      : describeFault(where, issue.path, issue.message),
  );
  if (names.length > 0 && names.length === issues.length)
    return new InvalidRequest(faults, 'For example: my-sprite', 'invalid_name');
  const isConfig = issues.every((issue) => where === 'body' && issue.path[0] === 'config');
  return new InvalidRequest(
    faults,
    `See ${request.method} ${request.routeOptions.url ?? ''} in /openapi.json.`,
    isConfig ? 'invalid_size' : 'invalid_request',
  );
}

const places: Record<string, string> = {
  querystring: 'query parameter',
  body: 'body',
  params: 'path',
  headers: 'header',
};

function describeFault(where: string, path: string[], message: string): string {
  const place = [places[where] ?? where, shortened(path.join('.'))].filter((part) => part !== '').join(' ');
  return `${place}: ${shortened(message)}`;
}
