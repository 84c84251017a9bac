// Drizzle: its pull makes a schema that compiles, and that schema queries.
import test from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { url } from './stories.mjs'

const bin = (tool) => join(import.meta.dirname ?? '.', 'node_modules', '.bin', tool)

test('what drizzle-kit pulls compiles, without periodd\'s bookkeeping', () => {
  const folder = mkdtempSync(join(import.meta.dirname, '.drizzle-'))
  const config = { dialect: 'postgresql', out: folder, tablesFilter: ['!periodd_*'], dbCredentials: { url: url() } }
  writeFileSync(join(folder, 'drizzle.config.json'), JSON.stringify(config))
  execFileSync(bin('drizzle-kit'), ['pull', '--config', join(folder, 'drizzle.config.json')], { stdio: 'pipe' })
  const schema = readFileSync(join(folder, 'schema.ts'), 'utf8')
  assert.match(schema, /organizations = pgTable/)
  execFileSync(bin('tsc'), ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'esnext',
    '--moduleResolution', 'bundler', join(folder, 'schema.ts'), join(folder, 'relations.ts')], { stdio: 'pipe', encoding: 'utf8' })
})
