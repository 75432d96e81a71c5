-- Content of a task: the file that an agent of ours puts in place. It goes with the task.
CREATE TABLE task_content (
    task_id BLOB PRIMARY KEY REFERENCES task (task_id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    size BIGINT NOT NULL,
    file_mode TEXT,
    file_owner TEXT,
    file_group TEXT,
    expect_sha256 TEXT,
    check_command TEXT,
    reload_command TEXT,
    confirm_seconds BIGINT NOT NULL,
    not_before BIGINT,
    deadline_seconds BIGINT NOT NULL
);
CREATE INDEX task_content_sha256 ON task_content (sha256);

-- What was ordered for a task with a content. Changed by compare-and-set on state, attempt and version.
CREATE TABLE file_order (
    task_id BLOB PRIMARY KEY REFERENCES task (task_id) ON DELETE CASCADE,
    machine BIGINT,
    state TEXT NOT NULL,
    action TEXT NOT NULL,
    is_forced BOOLEAN NOT NULL,
    phase TEXT,
    percent BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    due BIGINT,
    lease_until BIGINT,
    deadline BIGINT,
    is_cancelling BOOLEAN NOT NULL,
    instance TEXT NOT NULL,
    seq BIGINT NOT NULL,
    old_sha256 TEXT,
    observed_sha256 TEXT,
    message TEXT NOT NULL,
    log TEXT NOT NULL,
    plan TEXT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX file_order_due ON file_order (machine, due) WHERE due IS NOT NULL;
CREATE INDEX file_order_held ON file_order (machine) WHERE lease_until IS NOT NULL OR state = 'unknown';
CREATE INDEX file_order_lease ON file_order (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX file_order_deadline ON file_order (deadline) WHERE due IS NOT NULL;

-- Agent of a machine. Of its token and of its one-time code only the SHA-256 is kept.
CREATE TABLE agent (
    machine BIGINT PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    token BLOB UNIQUE,
    code BLOB UNIQUE,
    code_expires BIGINT,
    instance TEXT NOT NULL,
    last_seen BIGINT,
    duplicate_seen BIGINT,
    hostname TEXT NOT NULL,
    os TEXT NOT NULL,
    kernel TEXT NOT NULL,
    version TEXT NOT NULL,
    addresses TEXT NOT NULL
);
