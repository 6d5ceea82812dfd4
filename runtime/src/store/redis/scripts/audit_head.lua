return redis.call('XREVRANGE', 'titan:audit', '+', '-', 'COUNT', 1)
