-- Lists of a vault's jobs by status or operation: without these, a rare one is looked for among all jobs.

CREATE INDEX job_status ON job (vault, status, started, id);

CREATE INDEX job_operation ON job (vault, operation, started, id);
