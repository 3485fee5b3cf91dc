-- Makes the table of a new pool, and seeds the generator, which goes on from call to call.
--
-- KEYS: the table, what is left, the weights. ARGV: a seed from the operating system.
--@parameters
--@rebuild
math.randomseed(tonumber(ARGV[1]))
rebuild(KEYS[1], KEYS[2], KEYS[3])
return redis.status_reply('OK')
