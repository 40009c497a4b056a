BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE alias_moves (
	id INTEGER NOT NULL, 
	prefix_id INTEGER NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	from_version INTEGER, 
	to_version INTEGER NOT NULL, 
	moved_at DATETIME NOT NULL, 
	moved_by TEXT NOT NULL, 
	is_undone BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_alias_moves PRIMARY KEY (id), 
	CONSTRAINT fk_alias_moves_prefix_id FOREIGN KEY(prefix_id) REFERENCES prefixes (id)
);
INSERT INTO "alias_moves" VALUES(1,1,'live','publish',NULL,1,'2026-11-29 06:14:06.085125','acme',0);
INSERT INTO "alias_moves" VALUES(2,1,'live','publish',1,2,'2026-11-29 06:14:06.102593','acme',1);
INSERT INTO "alias_moves" VALUES(3,1,'live','rollback',2,1,'2026-11-29 06:14:06.117136','acme',0);
INSERT INTO "alias_moves" VALUES(4,1,'trial','promote',NULL,2,'2026-11-29 06:14:06.122421','acme',0);
INSERT INTO "alias_moves" VALUES(5,2,'live','publish',NULL,1,'2026-11-29 06:14:06.134923','seeding',0);
CREATE TABLE aliases (
	prefix_id INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_aliases PRIMARY KEY (prefix_id, name), 
	CONSTRAINT fk_aliases_prefix_id_version FOREIGN KEY(prefix_id, version) REFERENCES versions (prefix_id, number)
);
INSERT INTO "aliases" VALUES(1,'live',1);
INSERT INTO "aliases" VALUES(1,'trial',2);
INSERT INTO "aliases" VALUES(2,'live',1);
CREATE TABLE api_keys (
	id VARCHAR(16) NOT NULL, 
	tenant_id INTEGER NOT NULL, 
	secret_sha256 VARCHAR(64) NOT NULL, 
	label TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT fk_api_keys_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
INSERT INTO "api_keys" VALUES('00875774cbf1',1,'d555d62ea9677e17691e51318407701ea1ce88a0ddf1066e041a037c6481e557','laptop of Ada','2026-11-29 06:14:06.062781',NULL);
INSERT INTO "api_keys" VALUES('cc5218e8a90d',1,'a7bc91876d359043ae366a3bd35c81f537ca2913b362fb69ebad56f04fa17886','old laptop','2026-11-29 06:14:06.066088','2026-11-29 06:14:06.069207');
INSERT INTO "api_keys" VALUES('bcefccd2d847',2,'be579a17e8a49b33937a3095fe43e87046354357643bd2c68148859e900e411f','build','2026-11-29 06:14:06.072098',NULL);
CREATE TABLE deleted_blobs (
	digest VARCHAR(64) NOT NULL, 
	deleted_at DATETIME NOT NULL, 
	CONSTRAINT pk_deleted_blobs PRIMARY KEY (digest)
);
CREATE TABLE paired_store (
	id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_paired_store PRIMARY KEY (id)
);
INSERT INTO "paired_store" VALUES('97b8f6a8d5a645e58cdcf3bc9167c21b');
CREATE TABLE prefixes (
	id INTEGER NOT NULL, 
	tenant_id INTEGER NOT NULL, 
	task VARCHAR(64) NOT NULL, 
	next_version INTEGER NOT NULL, 
	CONSTRAINT pk_prefixes PRIMARY KEY (id), 
	CONSTRAINT fk_prefixes_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id), 
	CONSTRAINT uq_prefixes_tenant_id_task UNIQUE (tenant_id, task)
);
INSERT INTO "prefixes" VALUES(1,1,'topic',3);
INSERT INTO "prefixes" VALUES(2,3,'mood',2);
CREATE TABLE tenants (
	id INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	is_public BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_tenants PRIMARY KEY (id), 
	CONSTRAINT uq_tenants_name UNIQUE (name)
);
INSERT INTO "tenants" VALUES(1,'acme',0,'2026-11-29 06:14:06.052205');
INSERT INTO "tenants" VALUES(2,'globex',0,'2026-11-29 06:14:06.057054');
INSERT INTO "tenants" VALUES(3,'examples',1,'2026-11-29 06:14:06.059893');
CREATE TABLE trainings (
	id VARCHAR(32) NOT NULL, 
	tenant_id INTEGER NOT NULL, 
	task VARCHAR(64) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	margin FLOAT NOT NULL, 
	config TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	is_cancelling BOOLEAN NOT NULL, 
	num_crashes INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, 
	problem TEXT, 
	result TEXT, 
	CONSTRAINT pk_trainings PRIMARY KEY (id), 
	CONSTRAINT fk_trainings_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
INSERT INTO "trainings" VALUES('0198c0ffee00aabbccddeeff',1,'topic','live',0.0,'{"recipe": "fast"}','succeeded',0,0,'2026-11-29 06:14:06.153093','2026-11-29 06:14:06.163423','2026-11-29 06:14:06.168025',NULL,'{"ref": "acme/topic@1", "version": 1}');
CREATE TABLE versions (
	prefix_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by TEXT NOT NULL, 
	spec TEXT NOT NULL, task_type VARCHAR(32) DEFAULT 'sequence_classification' NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (prefix_id, number), 
	CONSTRAINT fk_versions_prefix_id FOREIGN KEY(prefix_id) REFERENCES prefixes (id), 
	CONSTRAINT uq_versions_prefix_id_digest UNIQUE (prefix_id, digest)
);
INSERT INTO "versions" VALUES(1,1,'2d33ea4f2f2aea65e4fc4c1b87c6defb8b815e681f77fe32168f327e4e1aeb3d',1456,'2026-11-29 06:14:06.080621','acme','{"schema_version":1,"task_type":"sequence_classification","method":"prefix","problem_type":"single_label_classification","labels":["bad","good"],"prefix_length":2,"position_offset":2,"max_length":16,"head":{"pooling":"mean","activation":null,"pooled_from":"text","normalize":false},"input":{"text":"{text}","text_pair":null},"token_types":true,"special_tokens":"control","thresholds":null,"answers":null,"backbone":{"name":"tiny","model_type":"bert","hidden_size":8,"num_layers":1,"num_heads":2,"head_size":4,"embedding_size":null,"max_positions":64,"vocab_size":10,"has_pooler":true,"weights_sha256":"0000000000000000000000000000000000000000000000000000000000000000","tokenizer_sha256":"1111111111111111111111111111111111111111111111111111111111111111"},"description":"one","provenance":null,"metrics":{},"golden":[]}','sequence_classification');
INSERT INTO "versions" VALUES(1,2,'4d14409eae3368eef3f28ffdc39d40526e67b340f3d36583b83209980231a903',1456,'2026-11-29 06:14:06.099415','acme','{"schema_version":1,"task_type":"sequence_classification","method":"prefix","problem_type":"single_label_classification","labels":["bad","good"],"prefix_length":2,"position_offset":2,"max_length":16,"head":{"pooling":"mean","activation":null,"pooled_from":"text","normalize":false},"input":{"text":"{text}","text_pair":null},"token_types":true,"special_tokens":"control","thresholds":null,"answers":null,"backbone":{"name":"tiny","model_type":"bert","hidden_size":8,"num_layers":1,"num_heads":2,"head_size":4,"embedding_size":null,"max_positions":64,"vocab_size":10,"has_pooler":true,"weights_sha256":"0000000000000000000000000000000000000000000000000000000000000000","tokenizer_sha256":"1111111111111111111111111111111111111111111111111111111111111111"},"description":"two","provenance":null,"metrics":{},"golden":[]}','sequence_classification');
INSERT INTO "versions" VALUES(2,1,'8d1369a2a6979ea55cafe6f094b21d3f2b8a888cbaa925257a4ae32f2bb83a0b',1456,'2026-11-29 06:14:06.133128','seeding','{"schema_version":1,"task_type":"sequence_classification","method":"prefix","problem_type":"single_label_classification","labels":["bad","good"],"prefix_length":2,"position_offset":2,"max_length":16,"head":{"pooling":"mean","activation":null,"pooled_from":"text","normalize":false},"input":{"text":"{text}","text_pair":null},"token_types":true,"special_tokens":"control","thresholds":null,"answers":null,"backbone":{"name":"tiny","model_type":"bert","hidden_size":8,"num_layers":1,"num_heads":2,"head_size":4,"embedding_size":null,"max_positions":64,"vocab_size":10,"has_pooler":true,"weights_sha256":"0000000000000000000000000000000000000000000000000000000000000000","tokenizer_sha256":"1111111111111111111111111111111111111111111111111111111111111111"},"description":"three","provenance":null,"metrics":{},"golden":[]}','sequence_classification');
CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id);
CREATE INDEX ix_versions_digest ON versions (digest);
CREATE INDEX ix_alias_moves_prefix_id_alias ON alias_moves (prefix_id, alias);
CREATE INDEX ix_trainings_tenant_id ON trainings (tenant_id);
CREATE INDEX ix_trainings_state ON trainings (state);
COMMIT;
