-- ARGV: change.
tell(ARGV[1])
return 1
