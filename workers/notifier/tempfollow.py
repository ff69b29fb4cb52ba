import psycopg, threading
class Consumer:
    def __init__(self, dsn, name, store, handle, after):
        self.a=(dsn,name,store,handle,after)
    def run(self, stop):
        dsn,name,store,handle,after=self.a
        with psycopg.connect(dsn, autocommit=True) as c:
            c.execute("listen ledger")
            while not stop.is_set():
                while True:
                    with c.transaction(), c.cursor() as cur:
                        (n,)=cur.execute("select next from stream.checkpoints where consumer='notify' and source='log' for update").fetchone()
                        page=store.read(n,500)
                        if page.upto<=n: break
                        handle(cur,page.entries)
                        cur.execute("update stream.checkpoints set next=%s where consumer='notify' and source='log'",(page.upto,))
                    after()
                for _ in c.notifies(timeout=1, stop_after=1): pass
