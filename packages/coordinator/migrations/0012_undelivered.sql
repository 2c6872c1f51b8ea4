-- What retention keeps: tasks of which a webhook has still to be told.
create index webhook_deliveries_undelivered on webhook_deliveries (task_pk) where state = 'pending' and task_pk is not null;
