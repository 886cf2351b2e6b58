import { randomUUID } from 'node:crypto';
import type { SshKeyRow } from '@sylph/engine';
import { addSshKeyRequest, maxSshKeys, sshKey, sshKeyList, SylphError, type SshKey } from '@sylph/model';
import { parsePublicKey } from '@sylph/ssh';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses } from './error-answers.ts';
import type { ApiParts } from './parts.ts';

const tags = ['ssh'];
const maxNameLength = 128;

/** Keys whose owners may enter the organization's sprites by SSH. */
export const sshKeyRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { sshKeys } = deps.repository;

    app.route({
      method: 'GET',
      url: '/v1/ssh-keys',
      schema: {
        operationId: 'listSshKeys',
        summary: 'List SSH keys, and how the SSH server shows itself',
        description: 'By name. `server` has what a client needs to trust it without asking.',
        tags,
        response: { 200: sshKeyList, ...errorResponses },
      },
      handler: async (request) => {
        const rows = await sshKeys.sshKeys(request.caller.org.id);
        return { keys: rows.map(answerOf), server: deps.ssh?.() ?? null };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/ssh-keys',
      schema: {
        operationId: 'addSshKey',
        summary: 'Add an SSH key',
        description: `Its owner may enter every sprite of the organization: \`ssh NAME@HOST -p PORT\`, or \`NAME.ORG\` where several organizations with the key have a sprite NAME. Ed25519, ECDSA, and RSA of at least 2,048 bits; at most ${maxSshKeys} in an organization.`,
        tags,
        body: addSshKeyRequest,
        response: { 201: sshKey, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { id: orgId } = request.caller.org;
        const { type, base64, fingerprint, comment } = parsePublicKey(request.body.public_key);
        if ((await sshKeys.sshKeys(orgId)).length >= maxSshKeys)
          throw new SylphError('limit_reached', `an organization has at most ${maxSshKeys} SSH keys`);
        const row: SshKeyRow = {
          id: randomUUID(),
          orgId,
          name: request.body.name ?? nameOf(comment, type),
          type,
          publicKey: base64,
          fingerprint,
          createdAt: new Date().toISOString(),
          lastUsedAt: null,
        };
        await sshKeys.insertSshKey(row);
        return reply.code(201).header('location', `/v1/ssh-keys/${row.id}`).send(answerOf(row));
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/ssh-keys/:id',
      schema: {
        operationId: 'removeSshKey',
        summary: 'Remove an SSH key',
        description: 'What is open with it is ended within 10 seconds.',
        tags,
        params: z.object({ id: z.string() }),
        response: { 204: z.null().describe('Removed'), ...errorResponses },
      },
      handler: async (request, reply) => {
        const isKnown = z.uuid().safeParse(request.params.id).success;
        if (!isKnown || !(await sshKeys.removeSshKey(request.caller.org.id, request.params.id)))
          throw new SylphError('ssh_key_not_found', 'the organization has no such SSH key');
        return reply.code(204).send(null);
      },
    });
  };

/** The key's comment, as far as it is a name. */
function nameOf(comment: string, type: string): string {
  const name = comment
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, maxNameLength);
  return name === '' ? type : name;
}

function answerOf({ id, name, type, fingerprint, createdAt, lastUsedAt }: SshKeyRow): SshKey {
  return { id, name, type, fingerprint, created_at: createdAt, last_used_at: lastUsedAt };
}
