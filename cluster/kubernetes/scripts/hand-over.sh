#!/bin/sh
# Before this node stops: if it is a primary, let a replica take over in order.
#
# A primary that is simply stopped is missed only after cluster-node-timeout, and what it had not
# sent to its replica by then is lost to whoever wrote with acks=1.
set -eu
: "${CLI:=valkey-cli}" "${PORT:=6379}"

ask() { "$CLI" -h "$POD_IP" -p "$PORT" "$@"; }
role() { ask role | head -n 1; }

[ "$(role)" = master ] || exit 0
me=$(ask cluster myid)
replica=$(ask cluster replicas "$me" |
  awk '$3 !~ /fail/ && $8 == "connected" { split($2, a, "[:@]"); print a[1], a[2]; exit }')
[ -n "$replica" ] || exit 0  # nobody to hand over to
# shellcheck disable=SC2086 # address and port are two words
set -- $replica
"$CLI" -h "$1" -p "$2" cluster failover >/dev/null

waited=0
while [ "$(role)" = master ] && [ "$waited" -lt 60 ]; do
  sleep 1
  waited=$((waited + 1))
done
