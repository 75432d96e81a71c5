-- Outcome of a task's run, as it is filtered by: its status, but 2 for status 1 at 100 percent. A trigger keeps it, so that
-- servers that do not know the column keep it too.
ALTER TABLE task ADD COLUMN outcome BIGINT NOT NULL DEFAULT 0;
UPDATE task SET outcome = (
    SELECT CASE WHEN status = 1 AND percent = 100 THEN 2 ELSE status END
    FROM task_status WHERE task_status.task_id = task.task_id
);
CREATE TRIGGER task_outcome AFTER UPDATE OF status, percent ON task_status
BEGIN
    UPDATE task SET outcome = CASE WHEN NEW.status = 1 AND NEW.percent = 100 THEN 2 ELSE NEW.status END
    WHERE task_id = NEW.task_id
    AND outcome <> CASE WHEN NEW.status = 1 AND NEW.percent = 100 THEN 2 ELSE NEW.status END;
END;
CREATE INDEX task_ip ON task (ip, id);
CREATE INDEX task_outcome ON task (outcome, id);
CREATE INDEX task_action ON task (action, id);
CREATE INDEX task_action_outcome ON task (action, outcome, id);

-- Answers to requests with an idempotency key, for a day.
CREATE TABLE kept_answer (
    account_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX kept_answer_at ON kept_answer (at);
