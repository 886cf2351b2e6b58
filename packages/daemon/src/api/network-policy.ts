import {
  networkDefaults,
  networkLog,
  networkLogQuery,
  networkPolicy,
  networkPolicyAnswer,
  setNetworkPolicyRequest,
  type NetworkPolicy,
} from '@sylph/model';
import { policyFaults, readDefaults } from '@sylph/network-dns';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorResponses, InvalidRequest } from './error-answers.ts';
import type { ApiParts } from './parts.ts';
import { nameInPath } from './sprite-answer.ts';

const tags = ['policies'];
const params = z.object({ name: z.string() });
const done = z.null().describe('Done');
const defaultLogLength = 100;
const meaning =
  'No rules: the internet. With rules: what they allow; other names are answered REFUSED, and addresses no allowed name led to are out of reach. Private, host-local and other special ranges are out of reach always. Of rules about names the most exact decides, then `deny`; of those about networks the smallest, and these come before what a name led to. It is in force when this is answered; connections it forbids are cut. 409 `policy_unenforceable`: this host cannot enforce rules.';

/** What sprites may reach: their own policies, that of the organization, what was denied. */
export const networkPolicyRoutes =
  ({ deps }: ApiParts): FastifyPluginAsyncZod =>
  async (app) => {
    const { policies } = deps.service;
    const defaults = { domains: [...readDefaults()] };

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/policy/network',
      schema: {
        operationId: 'getNetworkPolicy',
        summary: 'Get what a sprite may reach',
        description: 'Its own policy, else that of its organization.',
        tags,
        params,
        response: { 200: networkPolicyAnswer, ...errorResponses },
      },
      handler: async (request) => {
        const { policy, from } = await policies.network(request.caller.org, nameInPath(request.params.name));
        return { rules: policy.rules, source: from };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sprites/:name/policy/network',
      schema: {
        operationId: 'setNetworkPolicy',
        summary: 'Set what a sprite may reach',
        description: meaning,
        tags,
        params,
        body: setNetworkPolicyRequest,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        const { org } = request.caller;
        const name = nameInPath(request.params.name);
        await policies.setNetwork(org, name, checked(request.body.rules, deps.allowedSpecial ?? []));
        return reply.code(204).send(null);
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/sprites/:name/policy/network',
      schema: {
        operationId: 'resetNetworkPolicy',
        summary: "Let the organization's policy hold for a sprite again",
        description: 'It is in force when this is answered, as a policy that is set.',
        tags,
        params,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        await policies.setNetwork(request.caller.org, nameInPath(request.params.name), null);
        return reply.code(204).send(null);
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sprites/:name/policy/network/log',
      schema: {
        operationId: 'getNetworkLog',
        summary: 'What a sprite was denied',
        description:
          'Counted by target, the last denied first, up to this moment. At most 1,000 targets of a sprite are remembered; a daemon that is killed forgets what it had not written down, at most the last minute.',
        tags,
        params,
        querystring: networkLogQuery,
        response: { 200: networkLog, ...errorResponses },
      },
      handler: async (request) => {
        const { limit = defaultLogLength } = request.query;
        return { denials: await policies.denials(request.caller.org, nameInPath(request.params.name), limit) };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/policy/network',
      schema: {
        operationId: 'getOrgNetworkPolicy',
        summary: 'Get what sprites without a policy of their own may reach',
        description: 'No rules: the organization has no policy, and they reach the internet.',
        tags,
        response: { 200: networkPolicy, ...errorResponses },
      },
      handler: async (request) => (await policies.orgNetwork(request.caller.org)) ?? { rules: [] },
    });

    app.route({
      method: 'PUT',
      url: '/v1/policy/network',
      schema: {
        operationId: 'setOrgNetworkPolicy',
        summary: 'Set what sprites without a policy of their own may reach',
        description: meaning,
        tags,
        body: networkPolicy,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        await policies.setOrgNetwork(request.caller.org, checked(request.body.rules, deps.allowedSpecial ?? []));
        return reply.code(204).send(null);
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/policy/network',
      schema: {
        operationId: 'resetOrgNetworkPolicy',
        summary: 'Let sprites without a policy of their own reach the internet',
        description: 'It is in force when this is answered.',
        tags,
        response: { 204: done, ...errorResponses },
      },
      handler: async (request, reply) => {
        await policies.setOrgNetwork(request.caller.org, null);
        return reply.code(204).send(null);
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/policy/network/defaults',
      schema: {
        operationId: 'getNetworkDefaults',
        summary: 'The names that `{"include":"defaults"}` allows',
        description: 'A list of this version of the server: code, packages and images of common developer tools.',
        tags,
        response: { 200: networkDefaults, ...errorResponses },
      },
      handler: async () => defaults,
    });
  };

/** A policy none of whose rules could never hold. */
function checked(rules: NetworkPolicy['rules'], allowedSpecial: readonly string[]): NetworkPolicy {
  const faults = policyFaults({ rules }, { allowedSpecial });
  if (faults.length === 0) return { rules };
  throw new InvalidRequest(
    faults.map(({ index, message }) => `body rules.${index}: ${message}`),
    'Nothing was changed. GET /v1/policy/network/defaults shows rules that are fine.',
  );
}
