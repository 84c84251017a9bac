// Who is who in seed.sql, and how the clients reach the server.
import pg from 'pg'

export const acme = '00000000-0000-4000-8000-00000000000a'
export const borea = '00000000-0000-4000-8000-00000000000b'
export const ann = '00000000-0000-4000-8000-0000000000a1'
export const bob = '00000000-0000-4000-8000-0000000000b1'
/** Of an org whose limit is used up. */
export const cat = '00000000-0000-4000-8000-0000000000c1'

/** Where the database is: a directory with the server's socket. */
export const connection = (user = 'postgres') => ({
  host: process.env.PERIODD_TEST_SERVER,
  user,
  database: process.env.CLIENTS_DATABASE,
})

/** The same as a URL, for clients that take nothing else. */
export const url = (user = 'postgres') => {
  const { host, database } = connection()
  return `postgresql://${user}@localhost/${database}?host=${encodeURIComponent(host)}`
}

/** What one statement answers. */
export async function ask(text, values = []) {
  const client = new pg.Client(connection())
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}
