// Prints what ctrip-apollo holds of a key, a line for each value: URL APP CLUSTER KEY. It cannot sign.
const apollo = require('ctrip-apollo')

const [url, app, cluster, key] = process.argv.slice(2)
const host = url.endsWith('/') ? url.slice(0, -1) : url

async function main () {
  const namespace = apollo({
    host,
    appId: app,
    enableUpdateNotification: true,
    enableFetch: true
  }).cluster(cluster).namespace('application')
  await namespace.ready()
  let shown = {}
  setInterval(() => {
    const value = namespace.get(key)
    if (value !== shown) {
      console.log(value === undefined ? 'None' : value)
      shown = value
    }
  }, 50)
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
