// The JDBC driver speaks TCP only: a relay on the loopback interface hands its connections on to the socket.
import test from 'node:test'
import assert from 'node:assert/strict'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { join } from 'node:path'
import { connection } from './stories.mjs'

test('JDBC prepares, batches and reads exact numbers', async () => {
  const { host, database } = connection()
  const relay = net.createServer((client) => {
    const server = net.connect(join(host, '.s.PGSQL.5432'))
    for (const side of [client, server]) side.on('error', () => { client.destroy(); server.destroy() })
    client.pipe(server).pipe(client)
  })
  await new Promise((ready) => relay.listen(0, '127.0.0.1', ready))
  const url = `jdbc:postgresql://127.0.0.1:${relay.address().port}/${database}?sslmode=disable`
  try {
    const { stdout } = await promisify(execFile)('java', ['-cp', process.env.JDBC_DRIVER, join(import.meta.dirname, 'Jdbc.java'), url])
    assert.match(stdout, /1 passed/)
  } finally {
    relay.close()
  }
})
