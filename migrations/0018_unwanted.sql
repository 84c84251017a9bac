-- An email is looked at again when it is due: who has opted out or was removed gets none.

comment on column periodd_outbox.state is 'due: to be sent; sent: accepted by the server; given_up: never to be sent; suppressed: the address does not exist, or had unsubscribed by the time it was due.';
