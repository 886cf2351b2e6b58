import type { DatabaseSync } from 'node:sqlite';
import { SylphError } from '@sylph/model';

/** A step of the schema. Once released it never changes: a correction is a further step. */
interface Migration {
  version: number;
  name: string;
  sql: string;
}

/** Append only. */
const migrations: readonly Migration[] = [
  {
    version: 1,
    name: 'organizations, tokens, sprites, checkpoints, kept answers',
    sql: `
      create table orgs (
        id text primary key,
        slug text not null unique,
        url_suffix text not null unique,
        created_at text not null
      ) strict;

      create table tokens (
        id text primary key,
        org_id text not null references orgs (id),
        secret_hash text not null,
        description text not null,
        created_at text not null,
        expires_at text,
        last_used_at text,
        revoked_at text
      ) strict;
      create index tokens_by_org on tokens (org_id, created_at);

      create table sprites (
        id text primary key,
        org_id text not null references orgs (id),
        name text not null,
        created_at text not null,
        updated_at text not null,
        labels text not null,
        url_auth text not null,
        private_access text not null,
        environment text not null,
        shape text not null,
        idle_timeout_s integer not null,
        image_name text not null,
        image_digest text not null,
        uid integer not null unique,
        parent_sprite_id text,
        parent_checkpoint text,
        current_checkpoint text,
        next_checkpoint integer not null,
        next_session integer not null,
        last_state text not null,
        reason text,
        last_running_at text,
        last_warming_at text,
        last_start text
      ) strict;
      create unique index sprites_by_name on sprites (org_id, name);
      create index sprites_by_state on sprites (last_state) where last_state = 'awake';

      -- How many sprites of an organization are in each state, kept by triggers: counting rows would cost in proportion to their number at every list.
      create table sprite_counts (
        org_id text not null references orgs (id),
        last_state text not null,
        amount integer not null,
        primary key (org_id, last_state)
      ) strict, without rowid;
      create trigger sprite_counted_in after insert on sprites begin
        insert into sprite_counts (org_id, last_state, amount) values (new.org_id, new.last_state, 1)
          on conflict (org_id, last_state) do update set amount = amount + 1;
      end;
      create trigger sprite_counted_out after delete on sprites begin
        update sprite_counts set amount = amount - 1 where org_id = old.org_id and last_state = old.last_state;
      end;
      create trigger sprite_counted_over after update of last_state on sprites when old.last_state <> new.last_state begin
        update sprite_counts set amount = amount - 1 where org_id = old.org_id and last_state = old.last_state;
        insert into sprite_counts (org_id, last_state, amount) values (new.org_id, new.last_state, 1)
          on conflict (org_id, last_state) do update set amount = amount + 1;
      end;

      create table checkpoints (
        ordinal integer primary key autoincrement,
        sprite_id text not null references sprites (id) on delete cascade,
        id text not null,
        created_at text not null,
        comment text not null,
        is_auto integer not null,
        parent text,
        kind text not null,
        size_bytes integer not null,
        damaged integer not null,
        unique (sprite_id, id)
      ) strict;
      create index checkpoints_by_sprite on checkpoints (sprite_id, ordinal);

      create table idempotency (
        org_id text not null references orgs (id),
        key text not null,
        request_hash text not null,
        status integer not null,
        body text not null,
        created_at text not null,
        primary key (org_id, key)
      ) strict;
      create index idempotency_by_age on idempotency (created_at);
    `,
  },
  {
    version: 2,
    name: 'messages about jobs',
    sql: `
      create table deliveries (
        id text primary key,
        url text not null,
        secret text not null,
        body text not null,
        attempts integer not null,
        next_attempt_at text not null
      ) strict;
      create index deliveries_by_time on deliveries (next_attempt_at);
    `,
  },
  {
    version: 3,
    name: 'whose messages wait',
    sql: `
      alter table deliveries add column org_id text not null default '';
      update deliveries set org_id = coalesce((select org_id from sprites where id = json_extract(body, '$.sprite_id')), '');
      drop index deliveries_by_time;
      create index deliveries_by_time on deliveries (next_attempt_at, org_id);
    `,
  },
  {
    version: 4,
    name: 'policies, preview links, domains, SSH keys',
    sql: `
      create table sprite_policies (
        sprite_id text primary key references sprites (id) on delete cascade,
        network text,
        privileges text,
        resources text
      ) strict, without rowid;

      create table org_policies (
        org_id text primary key references orgs (id),
        network text not null
      ) strict, without rowid;

      create table denials (
        sprite_id text not null references sprites (id) on delete cascade,
        kind text not null,
        target text not null,
        -- 0 and '' stand for none: a key holds no nulls.
        port integer not null,
        protocol text not null,
        reason text not null,
        name text,
        amount integer not null,
        first_at text not null,
        last_at text not null,
        primary key (sprite_id, kind, target, port, protocol, reason)
      ) strict, without rowid;
      create index denials_by_time on denials (sprite_id, last_at);

      create table links (
        id text primary key,
        sprite_id text not null references sprites (id) on delete cascade,
        secret_hash text not null,
        port integer,
        password_hash text,
        description text not null,
        created_at text not null,
        expires_at text
      ) strict;
      create index links_by_sprite on links (sprite_id, created_at);
      create index links_by_expiry on links (expires_at) where expires_at is not null;

      create table domains (
        domain text primary key,
        sprite_id text not null references sprites (id) on delete cascade,
        created_at text not null
      ) strict, without rowid;
      create index domains_by_sprite on domains (sprite_id, domain);

      create table ssh_keys (
        id text primary key,
        org_id text not null references orgs (id),
        name text not null,
        type text not null,
        public_key text not null,
        fingerprint text not null,
        created_at text not null,
        last_used_at text,
        unique (org_id, fingerprint)
      ) strict;
      create index ssh_keys_by_fingerprint on ssh_keys (fingerprint);
    `,
  },
];

/** Version a database has after {@link migrate}. */
export const schemaVersion = migrations.length;

/**
 * Brings a database to the present schema, all steps in one transaction; several processes may do it at once.
 * Throws `host_unfit` when the database was written by a newer version.
 */
export function migrate(database: DatabaseSync): void {
  database.exec('begin immediate');
  try {
    database.exec(
      'create table if not exists schema_version (version integer primary key, name text not null, applied_at text not null) strict',
    );
    const { version } = database.prepare('select coalesce(max(version), 0) as version from schema_version').get() as {
      version: number;
    };
    if (version > schemaVersion) {
      throw new SylphError(
        'host_unfit',
        `the database has schema version ${version}; this program knows ${schemaVersion}`,
        {
          hint: 'A newer sylphd has used this data directory. Run that version, or give another --data-dir.',
        },
      );
    }
    for (const migration of migrations.filter((step) => step.version > version)) {
      database.exec(migration.sql);
      database
        .prepare('insert into schema_version (version, name, applied_at) values (?, ?, ?)')
        .run(migration.version, migration.name, new Date().toISOString());
    }
    database.exec('commit');
  } catch (error) {
    database.exec('rollback');
    throw error;
  }
}
