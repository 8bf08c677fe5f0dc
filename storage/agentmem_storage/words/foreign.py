"""Function words of languages other than English, which say as little about a content.

The words of an index are those of any language, and some are function words in one and not in
another: "die" and "war" in German, "on" and "me" in French. So they are left out only where nothing
but the relevance of a query depends on it, and only those of the language that the query is in.
"""

from __future__ import annotations

from functools import cache

from agentmem_storage.text import composed
from agentmem_storage.words.splitting import FUNCTION_WORDS, split

# A single one may be a name or another word.
_LEAST = 2

_LISTS = (
    # German, Dutch, Swedish, Danish and Norwegian
    """der die das den dem des ein eine einen einem einer eines und oder aber ich du er sie es
    wir ihr mich mir dich dir ihn ihm uns euch mein meine meinen meinem meiner dein deine
    sein seine unser unsere bin bist ist sind war waren wird werden hat habe haben hatte
    hast kann können muss soll will nicht kein keine auch noch nur schon sehr so wie was wer
    wen wem wann wo warum welche welcher welches welchen woher wohin in im an am auf aus bei
    beim mit nach seit von vom vor zu zum zur für über um durch gegen ohne unter dass wenn
    als ob da dann hier dort heißt gibt""",
    """de het een en of maar ik je jij hij zij ze wij we jullie mij mijn me jou jouw hem haar
    zijn ons onze hun ben bent is was waren wordt worden heb hebt heeft hebben had kan moet
    zal wil niet geen ook nog al zo hoe wat wie wanneer waar waarom welke welk in op aan bij
    met naar van voor uit te om door tegen over onder dat die dit deze als dan er hier daar
    heet""",
    """den det en ett och eller men jag du han hon vi ni de mig min mitt mina dig din ditt
    honom henne oss vår vårt är var blir har hade kan ska måste vill inte ingen också än så
    hur vad vem när varför vilken vilket vilka i på av till från med för om under över hos
    att som då här där heter jeg dig hun os vores er bliver skal må ikke også hvor hvad hvem
    hvornår hvorfor hvilken hvilket hvilke ved fra et ikkje hva når hvordan hedder""",
    # French, Spanish, Portuguese, Italian and Romanian
    """le la les l un une des du de d et ou mais je j tu il elle on nous vous ils elles me m te
    t se s mon ma mes ton ta tes son sa ses notre votre leur suis es est sommes êtes sont
    était ai as a avons avez ont avait fait faire peut dois veux ne n pas plus aussi encore
    que qu qui quoi quand où pourquoi comment quel quelle quels quelles combien à au aux en
    dans sur sous avec sans pour par chez y ce cet cette ces c si""",
    """el la los las lo un una unos unas y e o u pero yo tú él ella nosotros ustedes ellos
    ellas me mi mis te tu tus se su sus nos nuestro nuestra soy eres es somos son era fue
    está estoy están he has ha hemos han había hay tengo tiene puede debo quiero no ni
    también ya más muy que quien quién qué cuándo dónde por cómo cuál cuáles cuánto cuántos
    a al de del en con sin para sobre desde hasta este esta esto ese esa eso""",
    """o a os as um uma uns umas e ou mas eu tu você ele ela nós vocês eles elas me meu minha
    meus minhas te teu tua se seu sua nos nosso nossa sou és é somos são era foi está estou
    estão tenho tem temos têm tinha há pode devo quero não nem também já mais muito que quem
    quê quando onde por como qual quais quanto quantos à ao aos de do da dos das em no na
    nos nas num numa com sem para pelo pela sobre desde até este esta isto esse essa isso se
    chama""",
    """il lo la i gli le l un uno una e o ma io tu lui lei noi voi loro mi mio mia miei mie ti
    tuo tua si suo sua suoi sue ci vi nostro nostra sono sei è siamo siete era ho hai ha
    abbiamo avete hanno aveva può devo voglio non né anche già più molto che chi cosa cos
    quando dove perché come qual quale quali quanto quanti a al allo alla ai alle d di del
    dello della dei delle da dal dalla in nel nella nelle con senza per su sul sulla tra fra
    questo questa quello quella c""",
    """un o unui unei și sau dar eu tu el ea noi voi ei ele mă mi meu mea mei mele te tău ta se
    său sa ne nostru sunt ești este e suntem era am ai are avem au avea pot trebuie vreau nu
    nici și mai foarte că care cine ce când unde de cum cât câte la în din pe cu fără pentru
    prin spre acest această acel îmi îți cheamă""",
    # Polish, Czech, Russian and Ukrainian
    """i a lub albo ale ja ty on ona ono my wy oni mnie mi mój moja moje moim mojej ciebie ci
    twój się jego jej nas nam nasz jestem jesteś jest są był była było mam masz ma mamy mają
    może muszę chcę nie też już jeszcze tylko bardzo że kto co kiedy gdzie dlaczego jak jaki
    jaka jakie który która które ile w we na z ze do od po o u za przez dla przy pod nad ten
    ta to tym""",
    """a i nebo ale já ty on ona ono my vy oni mě mně mi můj moje má mého tě ti tvůj se si jeho
    její nás nám náš jsem jsi je jsme jste jsou byl byla bylo mám máš má máme mají může
    musím chci ne ani také už ještě jen velmi že kdo co kdy kde proč jak jaký jaká jaké
    který která které kolik v ve na s z do od po o u za přes pro při pod nad ten ta to""",
    """и а или но я ты он она оно мы вы они меня мне мной мой моя моё мои моего моей моих тебя
    тебе твой его ему её ей нас нам наш наша их им себя есть был была было были быть у не ни
    тоже уже ещё только очень что чего чем кто кого кому когда где куда почему как какой
    какая какое какие какого сколько в во на с со к ко от до из по о об за для при под над
    это этот эта эти тот та зовут""",
    """і й та або але я ти він вона воно ми ви вони мене мені мій моя моє мої моєї тебе тобі
    твій його йому її нас нам наш їх є був була було були бути у в не ні теж вже ще тільки
    дуже що чого хто кого кому коли де куди чому як який яка яке які скільки на з із зі до
    від по про за для при під над це цей ця ці той звати""",
    # Turkish, Greek, Arabic, Persian and Hindi
    """bir ve veya ama ben sen o biz siz onlar beni bana benim seni sana senin onu ona onun
    bizim var yok mı mi mu mü de da ile için gibi kadar daha çok en ne kim kimin kime nerede
    nereye neden niçin nasıl hangi kaç zaman bu şu ki değil nedir""",
    """ο η το οι τα τον την του της των τους τις ένας μια ένα και ή αλλά εγώ εσύ αυτός αυτή
    εμείς εσείς με μου σε σου μας σας είμαι είσαι είναι ήταν έχω έχεις έχει έχουμε έχουν δεν
    μη θα να που πού τι ποιος ποια ποιο πότε γιατί πώς πόσο πόσα στο στη στην στον στα από
    για προς κατά μετά""",
    """و أو لكن أنا أنت هو هي نحن هم ما ماذا من متى أين لماذا كيف كم أي هل في على إلى عن مع عند
    عندي لدي لي لك له لها هذا هذه ذلك تلك الذي التي كان كانت يكون لا لم لن ليس قد أن إن""",
    """و یا اما من تو او ما شما آنها را در به از با برای تا که چه چی کی کجا چرا چگونه چطور کدام
    چند این آن است هست بود بودم هستم دارم دارد داریم نه نیست هم""",
    """और या लेकिन मैं मैंने मुझे मेरा मेरी मेरे तुम तू आप वह वे यह ये हम हमने हमारा हमारी उसने
    उसका उसकी उसके को का की के से में पर तक ने है हैं हूँ था थी थे हो नहीं भी ही क्या कौन कब
    कहाँ क्यों कैसे कैसा किस किसके किससे किसका कितना कितने साथ लिए एक""",
)


def function_words(query: str) -> frozenset[str]:
    """The function words of the language of a query; none if it is English, or unknown."""
    distinct = {word.form for word in split(composed(query))}
    found = [(len(distinct & one), one) for one in _lists()]
    most, words = max(found, key=lambda one: one[0])
    return words if most >= _LEAST and most > len(distinct & FUNCTION_WORDS) else frozenset()


@cache
def _lists() -> tuple[frozenset[str], ...]:
    return tuple(frozenset(word.form for word in split(composed(one))) for one in _LISTS)
