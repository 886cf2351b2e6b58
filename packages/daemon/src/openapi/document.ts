import swagger, { type SwaggerTransformObject } from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';

const description = `Persistent Linux VMs that sleep when nobody uses them, wake on the next request, and can be checkpointed, restored and forked with their memory.

Every error has \`error\`, \`message\`, \`code\`, \`hint\` (what can be done next) and \`retryable\`. Every answer has \`X-Request-Id\`, that of the request where it had a plain one, which is in every line the daemon logs on its behalf, and \`Sprite-Version\`.

Unknown fields of a body are refused with 400 and named, and nothing is done; only \`POST /v1/sprites\` ignores them, as existing clients demand. Unknown query parameters (such as \`bulk_load\`, \`detachable\` and \`cc\`), request headers and types of messages on a WebSocket are ignored: newer clients may say more. \`GET /v1/sprites/{name}/control\` is 404 on purpose: clients then use the endpoints below.`;

const tokenDescription =
  'A token of "sylphd token create". A WebSocket of a page, which can send no headers, offers it as a subprotocol instead: `new WebSocket(url, ["sylph", "bearer." + base64url(token)])`; the answer names `sylph`.';

/** Makes the OpenAPI document from the routes registered after this call, and serves it as `GET /openapi.json`. */
export function serveOpenApi(app: FastifyInstance, version: string): void {
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sylph', version, description, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: tokenDescription } },
      },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: (input) => onlyUsed(jsonSchemaTransformObject(input)),
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

/** Leaves out components that nothing refers to: the registry holds each schema in its input and its output form. */
function onlyUsed(document: ReturnType<SwaggerTransformObject>): ReturnType<SwaggerTransformObject> {
  if (!('components' in document)) return document;
  const schemas = document.components?.schemas ?? {};
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    for (const [, name] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name === undefined || used.has(name)) continue;
      used.add(name);
      visit(schemas[name]);
    }
  };
  visit({ ...document, components: {} });
  return {
    ...document,
    components: {
      ...document.components,
      schemas: Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name))),
    },
  } as ReturnType<SwaggerTransformObject>;
}
