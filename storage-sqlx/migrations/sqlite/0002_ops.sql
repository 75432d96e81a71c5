CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id BLOB NOT NULL UNIQUE,
    ip TEXT NOT NULL,
    action TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    content TEXT NOT NULL,
    description TEXT NOT NULL
);

CREATE TABLE task_status (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id BLOB NOT NULL UNIQUE REFERENCES task (task_id) ON DELETE CASCADE,
    start_time BIGINT NOT NULL,
    revert_time BIGINT NOT NULL,
    status BIGINT NOT NULL,
    percent BIGINT NOT NULL,
    revert BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE machine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    machine_name TEXT NOT NULL UNIQUE,
    inside_ip TEXT NOT NULL,
    outside_ip TEXT NOT NULL,
    usage TEXT NOT NULL,
    is_initialized BOOLEAN NOT NULL,
    location TEXT NOT NULL
);
