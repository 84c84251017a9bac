// Prisma: what it pulls is a schema that it accepts itself.
import test from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connection } from './stories.mjs'
import { pull } from './prisma_pull.mjs'

test('what prisma pulls is accepted by prisma generate', async () => {
  const folder = mkdtempSync(join(import.meta.dirname, '.prisma-'))
  const empty = `generator client {\n  provider = "prisma-client"\n  output = "client"\n}\ndatasource db {\n  provider = "postgresql"\n}\n`
  const schema = await pull(empty, connection())
  assert.match(schema, /billing_periods\s+billing_periods\?/)
  const file = join(folder, 'schema.prisma')
  writeFileSync(file, schema)
  const prisma = join(import.meta.dirname, 'node_modules', '.bin', 'prisma')
  // `generate` asks the schema engine nothing, but would fetch the native one from outside of npm.
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath }
  const said = execFileSync(prisma, ['generate', '--schema', file], { encoding: 'utf8', stdio: 'pipe', cwd: folder, env })
  assert.match(said, /Generated Prisma Client/)
  assert.match(readFileSync(join(folder, 'client', 'models.ts'), 'utf8'), /usage_counters/)
})
