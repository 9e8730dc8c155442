"""The configs of Kafka's brokers that mean nothing here, where there are no disks, no controllers,
no threads and no replicas to be configured.

Whoever has a server.properties has some of them, so they are no mistake. Not among them is what
would leave a door open if it were passed over: that is refused (`build`).
"""

from __future__ import annotations

_BY_BEGINNING = {
    "": (
        "add.partitions.to.txn.retry.backoff.max.ms add.partitions.to.txn.retry.backoff.ms "
        "alter.log.dirs.replication.quota.window.num "
        "alter.log.dirs.replication.quota.window.size.seconds auto.leader.rebalance.enable "
        "background.threads client.quota.callback.class config.providers "
        "connection.failed.authentication.delay.ms connections.max.reauth.ms "
        "controlled.shutdown.enable cordoned.log.dirs "
        "delete.records.purgatory.purge.interval.requests early.start.listeners "
        "fetch.purgatory.purge.interval.requests follower.fetch.last.tiered.offset.enable "
        "initial.broker.registration.timeout.ms inter.broker.listener.name "
        "kafka.metrics.polling.interval.secs kafka.metrics.reporters "
        "leader.imbalance.check.interval.seconds max.connection.creation.rate "
        "max.incremental.fetch.session.cache.slots max.request.partition.size.limit "
        "metric.reporters metrics.num.samples metrics.recording.level metrics.sample.window.ms "
        "num.io.threads num.network.threads num.recovery.threads.per.data.dir "
        "num.replica.alter.log.dirs.threads num.replica.fetchers principal.builder.class "
        "process.roles producer.purgatory.purge.interval.requests queued.max.requests "
        "quota.window.num quota.window.size.seconds remote.fetch.max.wait.ms "
        "remote.list.offsets.request.timeout.ms replication.quota.window.num "
        "replication.quota.window.size.seconds security.inter.broker.protocol security.providers "
        "share.fetch.purgatory.purge.interval.requests telemetry.max.bytes "
        "transactional.id.expiration.ms unclean.leader.election.enable"
    ),
    "controller.": "quota.window.num quota.window.size.seconds socket.timeout.ms",
    "controller.quorum.": (
        "append.linger.ms auto.join.enable bootstrap.servers election.backoff.max.ms "
        "election.timeout.ms fetch.max.bytes fetch.snapshot.max.bytes fetch.timeout.ms "
        "request.timeout.ms retry.backoff.ms voters"
    ),
    "delegation.token.": "expiry.check.interval.ms expiry.time.ms max.lifetime.ms secret.key",
    "group.coordinator.": (
        "append.linger.ms background.threads cached.buffer.max.bytes rebalance.protocols threads"
    ),
    "group.share.": (
        "assignment.interval.ms assignors delivery.count.limit heartbeat.interval.ms "
        "max.assignment.interval.ms max.delivery.count.limit max.heartbeat.interval.ms "
        "max.partition.max.record.locks max.record.lock.duration.ms max.session.timeout.ms "
        "max.share.sessions max.size min.assignment.interval.ms min.delivery.count.limit "
        "min.heartbeat.interval.ms min.partition.max.record.locks min.record.lock.duration.ms "
        "min.session.timeout.ms partition.max.record.locks record.lock.duration.ms "
        "session.timeout.ms"
    ),
    "group.streams.": (
        "assignment.interval.ms heartbeat.interval.ms initial.rebalance.delay.ms "
        "max.assignment.interval.ms max.heartbeat.interval.ms max.session.timeout.ms max.size "
        "max.standby.replicas min.assignment.interval.ms min.heartbeat.interval.ms "
        "min.session.timeout.ms num.standby.replicas session.timeout.ms"
    ),
    "log.": (
        "cleaner.backoff.ms cleaner.dedupe.buffer.size cleaner.enable "
        "cleaner.io.buffer.load.factor cleaner.io.buffer.size cleaner.io.max.bytes.per.second "
        "cleaner.threads dir dir.failure.timeout.ms dirs flush.interval.ms "
        "flush.offset.checkpoint.interval.ms flush.scheduler.interval.ms "
        "flush.start.offset.checkpoint.interval.ms index.interval.bytes index.size.max.bytes "
        "local.retention.bytes local.retention.ms preallocate roll.jitter.hours roll.jitter.ms "
        "segment.delete.delay.ms"
    ),
    "metadata.": (
        "log.dir log.max.record.bytes.between.snapshots log.max.snapshot.interval.ms "
        "log.segment.bytes log.segment.ms max.idle.interval.ms max.retention.bytes "
        "max.retention.ms"
    ),
    "offsets.": (
        "commit.timeout.ms load.buffer.size retention.check.interval.ms topic.compression.codec "
        "topic.num.partitions topic.replication.factor topic.segment.bytes"
    ),
    "remote.log.": (
        "index.file.cache.total.size.bytes reader.max.pending.tasks reader.threads "
        "storage.manager.class.name storage.manager.class.path storage.manager.impl.prefix "
        "storage.system.enable"
    ),
    "remote.log.manager.": (
        "copier.thread.pool.size copy.max.bytes.per.second copy.quota.window.num "
        "copy.quota.window.size.seconds expiration.thread.pool.size fetch.max.bytes.per.second "
        "fetch.quota.window.num fetch.quota.window.size.seconds follower.thread.pool.size "
        "task.interval.ms thread.pool.size"
    ),
    "remote.log.metadata.": (
        "custom.metadata.max.bytes manager.class.name manager.class.path manager.impl.prefix "
        "manager.listener.name"
    ),
    "replica.": (
        "fetch.backoff.ms fetch.max.bytes fetch.min.bytes fetch.response.max.bytes "
        "fetch.wait.max.ms high.watermark.checkpoint.interval.ms selector.class "
        "socket.receive.buffer.bytes socket.timeout.ms"
    ),
    "sasl.": (
        "client.callback.handler.class enabled.mechanisms jaas.config kerberos.kinit.cmd "
        "kerberos.min.time.before.relogin kerberos.principal.to.local.rules kerberos.service.name "
        "kerberos.ticket.renew.jitter kerberos.ticket.renew.window.factor "
        "mechanism.controller.protocol mechanism.inter.broker.protocol "
        "server.callback.handler.class server.max.receive.size"
    ),
    "sasl.login.": (
        "callback.handler.class class connect.timeout.ms read.timeout.ms refresh.buffer.seconds "
        "refresh.min.period.seconds refresh.window.factor refresh.window.jitter "
        "retry.backoff.max.ms retry.backoff.ms"
    ),
    "sasl.oauthbearer.": (
        "assertion.algorithm assertion.claim.aud assertion.claim.exp.seconds assertion.claim.iss "
        "assertion.claim.jti.include assertion.claim.nbf.seconds assertion.claim.sub "
        "assertion.file assertion.private.key.file assertion.private.key.passphrase "
        "assertion.template.file client.credentials.client.id client.credentials.client.secret "
        "clock.skew.seconds expected.audience expected.issuer jwks.endpoint.refresh.ms "
        "jwks.endpoint.retry.backoff.max.ms jwks.endpoint.retry.backoff.ms jwks.endpoint.url "
        "jwt.retriever.class jwt.validator.class scope scope.claim.name sub.claim.name "
        "token.endpoint.url"
    ),
    "share.coordinator.": (
        "append.linger.ms cached.buffer.max.bytes load.buffer.size "
        "snapshot.update.records.per.snapshot state.topic.compression.codec state.topic.min.isr "
        "state.topic.num.partitions state.topic.replication.factor state.topic.segment.bytes "
        "threads write.timeout.ms"
    ),
    "socket.": (
        "connection.setup.timeout.max.ms connection.setup.timeout.ms listen.backlog.size "
        "receive.buffer.bytes send.buffer.bytes"
    ),
    "ssl.": (
        "allow.dn.changes allow.san.changes endpoint.identification.algorithm "
        "keymanager.algorithm principal.mapping.rules protocol provider "
        "secure.random.implementation trustmanager.algorithm"
    ),
    "transaction.": (
        "abort.timed.out.transaction.cleanup.interval.ms max.timeout.ms "
        "partition.verification.enable remove.expired.transaction.cleanup.interval.ms "
        "state.log.load.buffer.size state.log.min.isr state.log.num.partitions "
        "state.log.replication.factor state.log.segment.bytes two.phase.commit.enable"
    ),
}
"""The names of Kafka 4.3, by how they begin."""

_OF_OLD = (
    "advertised.host.name advertised.port allow.everyone.if.no.acl.found "
    "broker.id.generation.enable control.plane.listener.name delegation.token.master.key "
    "group.coordinator.new.enable host.name inter.broker.protocol.version "
    "log.message.downconversion.enable log.message.format.version "
    "log.message.timestamp.difference.max.ms offsets.commit.required.acks port "
    "quota.consumer.default quota.producer.default reserved.broker.max.id super.users "
    "unstable.api.versions.enable unstable.feature.versions.enable zookeeper.clientCnxnSocket "
    "zookeeper.connect zookeeper.connection.timeout.ms zookeeper.max.in.flight.requests "
    "zookeeper.metadata.migration.enable zookeeper.session.timeout.ms zookeeper.set.acl "
    "zookeeper.ssl.client.enable zookeeper.sync.time.ms"
)
"""Names of Kafka before 4.0, and of things that only plug-ins read."""

WITHOUT_MEANING = frozenset(
    [
        *(beginning + rest for beginning, all_ in _BY_BEGINNING.items() for rest in all_.split()),
        *_OF_OLD.split(),
    ]
)
"""All of them, with dots."""
