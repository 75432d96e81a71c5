// Polls a key with ctrip-apollo and prints each new value on a line: URL APP CLUSTER KEY. No secret: the client cannot sign.
// The environment may name a namespace. The key `*` is the whole namespace, as JSON with sorted keys.
const apollo = require('ctrip-apollo')

const [url, app, cluster, key] = process.argv.slice(2)
const host = url.endsWith('/') ? url.slice(0, -1) : url

function whole (config) {
  return JSON.stringify(Object.fromEntries(Object.entries(config).sort(([one], [other]) => (one < other ? -1 : 1))))
}

async function main () {
  const namespace = apollo({
    host,
    appId: app,
    ip: process.env.CLIENT_IP,
    enableUpdateNotification: true,
    enableFetch: true
  }).cluster(cluster).namespace(process.env.NAMESPACE || 'application')
  await namespace.ready()
  let last = {}
  setInterval(() => {
    const value = key === '*' ? whole(namespace.config()) : namespace.get(key)
    if (value !== last) {
      console.log(value === undefined ? 'None' : value)
      last = value
    }
  }, 50)
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
