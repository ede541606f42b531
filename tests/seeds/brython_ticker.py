"""The program `StockTicker` in the guide to Brython's WebSocket.

Changed:
- Indented.
- `document.get(row_id)` is `document.getElementById(row_id)`: Brython's method takes keywords, and returns lists.
"""

from browser.websocket import WebSocket
from browser import document
from browser.html import DIV, TABLE, TR, TD, TH
import json

class StockTicker:
    def __init__(self):
        self.ws = None
        self.stocks = {}
        self.setup_ui()
        self.connect()

    def setup_ui(self):
        """Create stock ticker UI."""
        self.container = DIV(style={
            'width': '600px',
            'margin': '20px auto'
        })
        title = DIV("Live Stock Prices", style={
            'font-size': '24px',
            'font-weight': 'bold',
            'text-align': 'center',
            'margin-bottom': '20px'
        })
        # Create table
        self.table = TABLE(style={
            'width': '100%',
            'border-collapse': 'collapse'
        })
        # Table header
        header = TR()
        header <= TH("Symbol", style={'border': '1px solid #ccc', 'padding': '10px'})
        header <= TH("Price", style={'border': '1px solid #ccc', 'padding': '10px'})
        header <= TH("Change", style={'border': '1px solid #ccc', 'padding': '10px'})
        header <= TH("Volume", style={'border': '1px solid #ccc', 'padding': '10px'})
        self.table <= header
        self.container <= title
        self.container <= self.table
        document.body <= self.container

    def connect(self):
        """Connect to stock data WebSocket."""
        self.ws = WebSocket("ws://localhost:8080/stocks")

        def on_open(event):
            print("Connected to stock data stream")
            # Subscribe to stock updates
            self.ws.send(json.dumps({
                'action': 'subscribe',
                'symbols': ['AAPL', 'GOOGL', 'MSFT', 'TSLA', 'AMZN']
            }))

        def on_message(event):
            try:
                data = json.loads(event.data)
                if data['type'] == 'quote':
                    self.update_stock(data)
            except Exception as e:
                print(f"Error processing data: {e}")

        def on_close(event):
            print("Stock data stream closed")

        self.ws.bind('open', on_open)
        self.ws.bind('message', on_message)
        self.ws.bind('close', on_close)

    def update_stock(self, quote):
        """Update stock display with new quote."""
        symbol = quote['symbol']
        price = quote['price']
        change = quote['change']
        volume = quote['volume']
        # Store quote
        self.stocks[symbol] = quote
        # Find or create table row
        row_id = f"row_{symbol}"
        row = document.getElementById(row_id)
        if not row:
            # Create new row
            row = TR(id=row_id)
            symbol_cell = TD(symbol, style={'border': '1px solid #ccc', 'padding': '10px'})
            price_cell = TD(f"${price:.2f}", style={'border': '1px solid #ccc', 'padding': '10px'})
            # Color change cell based on positive/negative
            change_color = 'green' if change >= 0 else 'red'
            change_text = f"+{change:.2f}" if change >= 0 else f"{change:.2f}"
            change_cell = TD(change_text, style={
                'border': '1px solid #ccc',
                'padding': '10px',
                'color': change_color
            })
            volume_cell = TD(f"{volume:,}", style={'border': '1px solid #ccc', 'padding': '10px'})
            row <= symbol_cell
            row <= price_cell
            row <= change_cell
            row <= volume_cell
            self.table <= row
        else:
            # Update existing row
            cells = row.querySelectorAll('td')
            cells[1].textContent = f"${price:.2f}"
            change_color = 'green' if change >= 0 else 'red'
            change_text = f"+{change:.2f}" if change >= 0 else f"{change:.2f}"
            cells[2].textContent = change_text
            cells[2].style.color = change_color
            cells[3].textContent = f"{volume:,}"

# Start stock ticker
stock_ticker = StockTicker()
