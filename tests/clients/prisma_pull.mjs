// `prisma db pull` without its native engine: Prisma's own WebAssembly build of it, over Prisma's driver adapter.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { bindSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'

const require = createRequire(import.meta.url)

const CHAR = 18
const TEXT = 25

/** Columns of the type "char", of which the adapter knows nothing and which the engine expects. */
const characters = new Set()

class Client extends pg.Client {
  constructor(config) {
    super(config)
    this.connection.prependListener('rowDescription', ({ fields }) => {
      for (const field of fields.filter(({ dataTypeID }) => dataTypeID === CHAR)) {
        field.dataTypeID = TEXT
        characters.add(field.name)
      }
    })
  }
}

/** The adapter, with those columns given their type. */
function typed(factory) {
  const connect = factory.connect.bind(factory)
  factory.connect = async () => {
    const adapter = await connect()
    const queryRaw = adapter.queryRaw.bind(adapter)
    adapter.queryRaw = async (query) => {
      const answer = await queryRaw(query)
      answer.columnTypes = answer.columnTypes.map((type, at) =>
        characters.has(answer.columnNames[at]) ? ColumnTypeEnum.Character : type)
      return answer
    }
    return adapter
  }
  return factory
}

// Where the engine writes what made it panic.
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(message) }

export async function pull(schema, connection) {
  const pool = new pg.Pool({ ...connection, Client })
  const adapter = typed(new PrismaPg(pool))
  const bindings = await import('@prisma/schema-engine-wasm/schema_engine_bg')
  const wasm = readFileSync(require.resolve('@prisma/schema-engine-wasm').replace('schema_engine.js', 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings })
  bindings.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start?.()
  const files = [{ path: 'schema.prisma', content: schema }]
  const debug = () => {}
  const engine = await bindings.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, debug, bindSqlAdapterFactory(adapter))
  const asked = { schema: { files }, baseDirectoryPath: '.', force: false, compositeTypeDepth: 0, namespaces: null }
  const answer = await engine.introspect(asked)
  await pool.end()
  return answer.schema.files.map(({ content }) => content).join('\n')
}
