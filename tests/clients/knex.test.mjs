// A Node server with knex, as seed 000's.
import test from 'node:test'
import assert from 'node:assert/strict'
import Knex from 'knex'
import { acme, bob, cat, connection } from './stories.mjs'

const knex = Knex({ client: 'pg', connection: connection(), pool: { min: 0, max: 20 } })
test.after(() => knex.destroy())

test('a batch whose keys partly exist is inserted once', async () => {
  const row = (key) => ({ organization_id: acme, metric_type: 'minutes_transcribed', metric_value: 2, idempotency_key: key })
  const insert = (keys) => knex('usage_metrics').insert(keys.map(row)).onConflict(['organization_id', 'idempotency_key']).ignore()
  await insert(['batch-1', 'batch-2'])
  await insert(['batch-2', 'batch-3'])
  const [{ count }] = await knex('usage_metrics').where('idempotency_key', 'like', 'batch-%').count()
  assert.equal(count, '3')
})

test('exact numbers arrive as text, and a rounded float is accepted', async () => {
  const minutes = (100 / 60).toFixed(6)
  const call = 'select * from increment_feature_usage(?, ?, ?, ?)'
  const { rows: [first] } = await knex.raw(call, [bob, 'ai_messages', minutes, 'float'])
  assert.equal(typeof first.new_usage, 'string')
  assert.equal(first.new_usage, '1.666667')
  await assert.rejects(knex.raw(call, [bob, 'ai_messages', 0.1 + 0.2, 'too precise']), { code: '22023' })
})

test('40 calls at once on a limit of 5: what is left is allowed, and no more', async () => {
  const before = await knex.raw('select used from get_current_usage_stats(?) where feature = ?', [cat, 'scrapes'])
  const used = Number(before.rows[0]?.used ?? 0)
  const calls = Array.from({ length: 40 }, () => knex.raw('select allowed from increment_usage_if_allowed(?)', [cat]))
  const allowed = (await Promise.all(calls)).filter(({ rows }) => rows[0].allowed).length
  const after = await knex.raw('select used, effective_limit from get_current_usage_stats(?) where feature = ?', [cat, 'scrapes'])
  assert.equal(allowed, Number(after.rows[0].effective_limit) - used)
  assert.equal(after.rows[0].used, after.rows[0].effective_limit)
})

test('a savepoint that is rolled back takes its use with it', async () => {
  const used = async (db) => Number((await db.raw('select used from get_current_usage_stats(?) where feature = ?', [bob, 'scrapes'])).rows[0]?.used ?? 0)
  await knex.transaction(async (outer) => {
    const before = await used(outer)
    await outer.transaction(async (inner) => {
      await inner.raw('select * from increment_usage_if_allowed(?)', [bob])
      throw new Error('back')
    }).catch((error) => assert.equal(error.message, 'back'))
    assert.equal(await used(outer), before)
  })
})
