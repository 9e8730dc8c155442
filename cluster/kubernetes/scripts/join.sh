#!/bin/sh
# Joins the nodes as a cluster: the first half as primaries, the others as their replicas, pod
# n + NODES/2 of pod n. Changes nothing where the cluster serves already.
set -eu
: "${CLI:=valkey-cli}" "${PORT:=6379}" "${BASE:=partstream-redis}"

address() { getent hosts "$BASE-$1.$SERVICE" | awk '{ print $1; exit }'; }
ask() { host=$1; shift; "$CLI" -h "$host" -p "$PORT" "$@"; }

half=$((NODES / 2))
number=0
while [ "$number" -lt "$NODES" ]; do
  until ask "$(address "$number")" ping 2>/dev/null | grep -q PONG; do sleep 1; done
  number=$((number + 1))
done

first=$(address 0)
serves() { ask "$first" cluster info | grep -q cluster_state:ok; }
replicas() { ask "$first" cluster nodes | grep -c slave || true; }
if serves && [ "$(replicas)" -eq $((NODES - half)) ]; then exit 0; fi

number=0
while [ "$number" -lt "$NODES" ]; do
  ask "$first" cluster meet "$(address "$number")" "$PORT" >/dev/null
  number=$((number + 1))
done
number=0
while [ "$number" -lt "$half" ]; do
  # Refused, without harm, where an earlier run did it.
  ask "$(address "$number")" cluster addslotsrange \
    $((number * 16384 / half)) $(((number + 1) * 16384 / half - 1))
  number=$((number + 1))
done
while [ "$number" -lt "$NODES" ]; do
  primary=$(ask "$(address $((number - half)))" cluster myid)
  until ask "$(address "$number")" cluster replicate "$primary" | grep -q OK; do sleep 1; done
  number=$((number + 1))
done
until serves; do sleep 1; done
