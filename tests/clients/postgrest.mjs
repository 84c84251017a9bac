// The part of PostgREST that supabase-js speaks to: it becomes the token's role, hands the claims on, and calls a
// function or reads and writes a table, in one transaction. The statements have PostgREST's shape.
import http from 'node:http'
import pg from 'pg'
import { connection } from './stories.mjs'

const name = (text) => '"' + text.replaceAll('"', '""') + '"'

/** A token's role and claims: tests make them unsigned. */
export const token = (claims) =>
  [{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.') + '.'

function claimsOf(request) {
  const [, payload] = (request.headers.authorization ?? '').replace('Bearer ', '').split('.')
  return payload ? JSON.parse(Buffer.from(payload, 'base64url')) : { role: 'anon' }
}

function statement(method, path, query, body) {
  const call = path.match(/^\/rest\/v1\/rpc\/(\w+)$/)
  if (call) {
    const given = Object.keys(body)
    const list = given.map((key) => `${name(key)} := a.${name(key)}`).join(', ')
    const types = `(select coalesce(array_agg(name || ' ' || type), '{}') from (
        select unnest(p.proargnames) as name, format_type(unnest(p.proargtypes::oid[]), null) as type
        from pg_proc p where p.proname = $1 and p.pronamespace = 'public'::regnamespace) t
        where name = any ($2::text[]))`
    return { types: [`select ${types} as columns`, [call[1], given]],
      text: (columns) => `with a as (select * from json_to_record($1) as _(${columns}))
        select coalesce(json_agg(r), '[]') as body from a, lateral public.${name(call[1])}(${list}) r` }
  }
  const table = name(path.replace('/rest/v1/', ''))
  if (method === 'GET') {
    const columns = (query.get('select') ?? '*').split(',').map((c) => (c === '*' ? c : name(c))).join(', ')
    return { text: () => `select coalesce(json_agg(r), '[]') as body from (select ${columns} from public.${table}) r`, plain: true }
  }
  const rows = Array.isArray(body) ? body : [body]
  const keys = Object.keys(rows[0])
  const on = query.get('on_conflict')
  const conflict = on ? `on conflict (${on.split(',').map(name).join(', ')}) do nothing` : ''
  return { rows, text: () => `with w as (insert into public.${table} (${keys.map(name).join(', ')})
      select ${keys.map(name).join(', ')} from json_populate_recordset(null::public.${table}, $1) ${conflict} returning 1)
      select json_build_array(count(*)) as body from w` }
}

/** Serves on a port of the loopback interface; answers the server and its address. */
export async function serve() {
  const pool = new pg.Pool(connection('authenticator'))
  const server = http.createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost')
    let text = ''
    for await (const chunk of request) text += chunk
    const body = text ? JSON.parse(text) : {}
    const claims = claimsOf(request)
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
        [claims.role, JSON.stringify(claims)])
      const { types, text, rows, plain } = statement(request.method, pathname, searchParams, body)
      const columns = types ? (await client.query(types[0], types[1])).rows[0].columns.join(', ') : ''
      const answer = await client.query(text(columns), plain ? [] : [JSON.stringify(rows ?? body)])
      await client.query('commit')
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer.rows[0].body))
    } catch (error) {
      await client.query('rollback')
      const status = error.code === '42501' ? 403 : 400
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ code: error.code, message: error.message, details: error.detail, hint: error.hint }))
    } finally {
      client.release()
    }
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  return { address: `http://127.0.0.1:${server.address().port}`, close: async () => { server.close(); await pool.end() } }
}
