#!/bin/sh
# Starts the node of this pod.
#
# A pod that comes back has another address. The others learn it when this node pings them; but if
# all pods came back at once, nobody knows anybody's: so it also greets each by its name in DNS.
set -eu
: "${SERVER:=valkey-server}" "${CLI:=valkey-cli}" "${PORT:=6379}" "${CONFIG:=/etc/partstream}"
: "${DATA:=/data}" "${NODES:=6}"

greet() {
  base=${POD_NAME%-*}
  until "$CLI" -h "$POD_IP" -p "$PORT" ping 2>/dev/null | grep -q PONG; do sleep 1; done
  # A node that was never joined has nobody to greet; `join.sh` does that.
  [ "$("$CLI" -h "$POD_IP" -p "$PORT" cluster nodes | wc -l)" -gt 1 ] || return 0
  number=0
  while [ "$number" -lt "$NODES" ]; do
    address=$(getent hosts "$base-$number.$SERVICE" | awk '{ print $1; exit }') || address=
    [ -z "$address" ] || "$CLI" -h "$POD_IP" -p "$PORT" cluster meet "$address" "$PORT" || true
    number=$((number + 1))
  done
}

greet &

exec "$SERVER" "$CONFIG/redis.conf" \
  --port "$PORT" \
  --dir "$DATA" \
  --maxmemory "$MAXMEMORY" \
  --requirepass "$REDISCLI_AUTH" \
  --masterauth "$REDISCLI_AUTH" \
  --min-replicas-to-write 1 \
  --cluster-enabled yes \
  --cluster-config-file nodes.conf \
  --cluster-announce-ip "$POD_IP" \
  --cluster-announce-hostname "$POD_NAME.$SERVICE"
