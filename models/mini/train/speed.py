import time, torch, sys
from model import *
torch.manual_seed(0); torch.set_num_threads(2)
m = Mini(16026); print(sum(p.numel() for p in m.parameters())/1e6)
opt = torch.optim.AdamW(m.parameters(), 1e-3, fused=True)
head=torch.randint(0,9000,(14,))
def t(f,n=3):
    f(); a=time.time()
    for _ in range(n): f()
    return (time.time()-a)/n
for bf in (True, False):
    def text():
        with torch.autocast('cpu',torch.bfloat16,enabled=bf): y=m.text(head, torch.randint(0,9000,(256,20)), torch.full((256,),19))
        y.float().square().mean().backward()
    def pic(s,B):
        def f():
            with torch.autocast('cpu',torch.bfloat16,enabled=bf): y,_=m.picture(head, torch.tensor([5]), torch.randint(0,255,(B,1,s,s,3),dtype=torch.uint8), torch.randint(0,9000,(B,7)), torch.full((B,),6))
            y.float().square().mean().backward()
        return f
    a=t(text); print('bf16' if bf else 'fp32','text/s',256/a)
    for s,B in ((96,96),(128,96)):
        a=t(pic(s,B)); print(s, 'pics/s',B/a)
print('opt', t(lambda: opt.step()))
