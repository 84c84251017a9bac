// A Supabase project: its service key, its end users, and nobody.
import test from 'node:test'
import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import { serve, token } from './postgrest.mjs'
import { acme, ann, ask, bob } from './stories.mjs'

let api
test.before(async () => { api = await serve() })
test.after(() => api.close())

// Nobody listens for changes here, so that Node.js needs no WebSocket.
const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } }
const as = (claims) => createClient(api.address, token(claims), options)
const service = () => as({ role: 'service_role' })
const user = (id) => as({ role: 'authenticated', sub: id })

test('the service key counts a use of any user', async () => {
  for (const id of [ann, bob]) {
    const { data, error } = await service().rpc('increment_usage_if_allowed', { p_user_id: id })
    assert.equal(error, null)
    assert.equal(data[0].allowed, true)
    assert.equal(data[0].effective_limit, 5)
  }
})

test('an end user counts for themselves alone', async () => {
  const own = await user(ann).rpc('increment_feature_usage', { p_user_id: ann, p_feature: 'minutes_transcribed', p_amount: 1.5 })
  assert.equal(own.error, null)
  assert.equal(own.data[0].new_usage, 1.5)
  const others = await user(ann).rpc('increment_usage_if_allowed', { p_user_id: bob })
  assert.equal(others.error.code, '42501')
  const nobody = await as({ role: 'anon' }).rpc('increment_usage_if_allowed', { p_user_id: ann })
  assert.equal(nobody.error.code, '42501')
})

test('an end user sees their org and grants nothing', async () => {
  const { data } = await user(ann).from('organizations').select('slug')
  assert.deepEqual(data, [{ slug: 'acme' }])
  const all = await service().from('organizations').select('slug')
  assert.deepEqual(all.data.map((org) => org.slug).sort(), ['acme', 'borea', 'cedar'])
  const grant = await user(ann).rpc('grant_overage_pack',
    { p_org_id: acme, p_feature: 'scrapes', p_quantity: 100, p_reference: 'free for me' })
  assert.equal(grant.error.code, '42501')
})

test('an upsert by key counts once', async () => {
  const row = { organization_id: acme, metric_type: 'scrapes', metric_value: 1, idempotency_key: 'upsert-1' }
  for (let time = 0; time < 2; time++) {
    const { error } = await service().from('usage_metrics')
      .upsert(row, { onConflict: 'organization_id,idempotency_key', ignoreDuplicates: true })
    assert.equal(error, null)
  }
  const rows = await ask("select 1 from usage_metrics where idempotency_key = 'upsert-1'")
  assert.equal(rows.length, 1)
})
